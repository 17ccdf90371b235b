"""What each model cost together with all that it is made from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import MANIFEST
from kdpipe.config.matrix import Matrix
from kdpipe.config.settings.base import StageSettings
from kdpipe.config.settings.distillation import Distillation
from kdpipe.plan.entries import Node
from kdpipe.plan.graph import Graph, key_of
from kdpipe.plan.stages.select import SelectSettings
from kdpipe.reporting.grouping import group_names


@dataclass(frozen=True)
class Passes:
    """What was computed.

    Args:
        forwards: examples run forward, by any model.
        backwards: examples run backward.
        seconds: seconds of the jobs.
    """

    forwards: float = 0
    backwards: float = 0
    seconds: float = 0

    def __add__(self, other: "Passes") -> "Passes":
        return Passes(
            self.forwards + other.forwards, self.backwards + other.backwards, self.seconds + other.seconds
        )


@dataclass(frozen=True)
class ModelCost:
    """What a model cost with its ancestors, each counted once; of a group of runs the mean.

    Args:
        model: the model, or the group of runs.
        stage: the stage that makes it.
        runs: number of runs.
        ends: whether no other evaluated model is made from it.
        trainings: models trained, itself among them.
        cost: what was computed.
        uncached: what would have been, had no teacher's signals been stored: every training that read them
            would have run its teacher on each example it saw, as fast as they were computed once.
    """

    model: str
    stage: str
    runs: int
    ends: bool
    trainings: float
    cost: Passes
    uncached: Passes


@dataclass(frozen=True)
class _Work:
    """What making one model took, without its ancestors.

    Args:
        own: what its stage took.
        trained: whether that is a training.
        scores: scores of importance and evaluations that it reads, and what they took.
        signals: stored signals of a teacher that it reads, and what they took.
        beside: what its teacher would have taken, had it run beside the training.
    """

    own: Passes
    trained: bool
    scores: dict[Path, Passes]
    signals: dict[Path, Passes]
    beside: Passes


def model_costs(graph: Graph) -> list[ModelCost]:
    """Return what each evaluated model cost, those that differ only in `report.over` together.

    Models, stored signals, scores of importance, and evaluations by which a model is chosen count; encoding
    and other evaluations do not.
    """
    groups = group_names(graph.document.models, Matrix(graph.document.matrix), graph.document.report.over)
    evaluated = {model for model, _ in graph.evaluations}
    runs: dict[str, list[str]] = {}
    for name, group in groups.items():
        if name in evaluated:
            runs.setdefault(group, []).append(name)
    works = {name: _work(graph, node) for name, node in graph.nodes.items()}
    lineages = _lineages(graph)
    sources = {one for names in runs.values() for name in names for one in lineages[name] if one != name}
    return [
        _cost(
            group,
            graph.nodes[names[0]].stage,
            sources.isdisjoint(names),
            [[works[one] for one in lineages[name]] for name in names],
        )
        for group, names in runs.items()
    ]


def _work(graph: Graph, node: Node) -> _Work:
    folder = graph.layout.model(node.name)
    signals = _signals(graph, node.settings)
    seen = _manifest(folder).get("examples_seen", 0)
    return _Work(
        own=_passes(folder),
        trained=hasattr(node.settings, "training"),
        scores=_scores(graph, node.settings) | _compared(graph, node.settings),
        signals=signals,
        beside=_total(_beside(stored, seen) for stored in signals.values()),
    )


def _scores(graph: Graph, settings: StageSettings) -> dict[Path, Passes]:
    wanted = graph.importance_of(settings)
    if wanted is None:
        return {}
    model, dataset, how = wanted
    folder = graph.layout.importance(model, dataset, key_of(how))
    return {folder: _passes(folder)}


def _compared(graph: Graph, settings: StageSettings) -> dict[Path, Passes]:
    """Return the evaluations by which a model is chosen."""
    if not isinstance(settings, SelectSettings):
        return {}
    folders = [graph.layout.evaluation(name, settings.dataset) for name in settings.among]
    return {folder: _passes(folder) for folder in folders}


def _signals(graph: Graph, settings: StageSettings) -> dict[Path, Passes]:
    if not isinstance(settings, Distillation) or not graph.is_cached(settings):
        return {}
    key = key_of(graph.cache_settings(settings))
    folder = graph.layout.knowledge(settings.teacher, settings.dataset, key)
    return {folder: _passes(folder)}


def _beside(stored: Passes, examples: int) -> Passes:
    """Return what a teacher takes for some examples, as fast as when its signals were stored."""
    if not stored.forwards:
        return Passes()
    return Passes(forwards=examples, seconds=stored.seconds * examples / stored.forwards)


def _passes(folder: Path) -> Passes:
    found = _manifest(folder)
    return Passes(*(found.get(name, 0) for name in ("forwards", "backwards", "seconds")))


def _manifest(folder: Path) -> dict[str, Any]:
    return read_manifest(folder) if (folder / MANIFEST).exists() else {}


def _lineages(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return the distinct ancestors of each model, and itself."""
    found: dict[str, tuple[str, ...]] = {}
    for name, node in graph.nodes.items():
        parents = [parent for _, kind, parent in node.settings.references() if kind == "model"]
        found[name] = (*dict.fromkeys(one for parent in parents for one in found[parent]), name)
    return found


def _cost(group: str, stage: str, ends: bool, lineages: Sequence[Sequence[_Work]]) -> ModelCost:
    made = [
        _total(work.own for work in works) + _distinct(work.scores for work in works) for works in lineages
    ]
    signals = [_distinct(work.signals for work in works) for works in lineages]
    beside = [_total(work.beside for work in works) for works in lineages]
    return ModelCost(
        group,
        stage,
        len(lineages),
        ends,
        fmean(sum(work.trained for work in works) for works in lineages),
        _mean([own + other for own, other in zip(made, signals, strict=True)]),
        _mean([own + other for own, other in zip(made, beside, strict=True)]),
    )


def _distinct(parts: Iterable[dict[Path, Passes]]) -> Passes:
    """Return what artifacts took that several may share, each counted once."""
    return _total({place: passes for part in parts for place, passes in part.items()}.values())


def _total(parts: Iterable[Passes]) -> Passes:
    return sum(parts, Passes())


def _mean(costs: Sequence[Passes]) -> Passes:
    total = _total(costs)
    return Passes(*(getattr(total, name) / len(costs) for name in ("forwards", "backwards", "seconds")))
