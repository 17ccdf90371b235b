"""The cost of each model together with all artifacts that it is made from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import MANIFEST
from kdpipe.config.matrix import Matrix
from kdpipe.plan.entries import Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import model_job
from kdpipe.reporting.grouping import group_names

# What a model reads that was worked out of others.
READ = ("evaluations", "importance", "knowledge")


@dataclass(frozen=True)
class Passes:
    """The computation of jobs.

    Args:
        forwards: number of examples in forward passes of any model.
        backwards: number of examples in backward passes.
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
    """The cost of a model with its ancestors, each counted once; for a group of runs the mean.

    Args:
        model: the model, or the group of runs.
        stage: the stage that makes it.
        runs: number of runs.
        ends: whether no other evaluated model is made from it.
        trainings: number of trained models, this model included.
        cost: the computation.
        uncached: the computation without cached teachers. Each training then runs its teacher on every
            example that it sees, as fast as when the teacher's signals were stored.
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
    """The computation that makes one model, without its ancestors.

    Args:
        stage: the computation of its stage.
        trained: whether the stage is a training.
        scores: the computation of the scores of importance and the evaluations that it reads, by folder.
        signals: the computation of the stored signals of a teacher that it reads, by folder.
        beside: the computation of its teacher if the teacher ran beside the training.
    """

    stage: Passes
    trained: bool
    scores: dict[Path, Passes]
    signals: dict[Path, Passes]
    beside: Passes


def model_costs(graph: Graph) -> list[ModelCost]:
    """Return the cost of each evaluated model; models that differ only in `report.over` form a group.

    The cost contains models, stored signals, scores of importance, and evaluations that choose a model. It
    does not contain encoding and other evaluations.
    """
    groups = group_names(graph.document.models, Matrix(graph.document.matrix), graph.document.report.over)
    evaluated = {model for model, _ in graph.evaluations}
    runs: dict[str, list[str]] = {}
    for name, group in groups.items():
        if name in evaluated:
            runs.setdefault(group, []).append(name)
    works = {name: _work(graph, node) for name, node in graph.nodes.items()}
    lineages = _lineages(graph)
    sources = {
        ancestor
        for names in runs.values()
        for name in names
        for ancestor in lineages[name]
        if ancestor != name
    }
    return [
        _cost(
            group,
            graph.nodes[names[0]].stage,
            sources.isdisjoint(names),
            [[works[ancestor] for ancestor in lineages[name]] for name in names],
        )
        for group, names in runs.items()
    ]


def _work(graph: Graph, node: Node) -> _Work:
    job = model_job(graph, node.name)
    passes = {option: {folder: _passes(folder) for folder in job.inputs.get(option, ())} for option in READ}
    seen = _manifest(job.folder).get("examples_seen", 0)
    return _Work(
        stage=_passes(job.folder),
        trained=hasattr(node.settings, "training"),
        scores=passes["importance"] | passes["evaluations"],
        signals=passes["knowledge"],
        beside=_total(_beside(stored, seen) for stored in passes["knowledge"].values()),
    )


def _beside(stored: Passes, examples: int) -> Passes:
    """Return the computation of a teacher on some examples, as fast as when its signals were stored."""
    if not stored.forwards:
        return Passes()
    return Passes(forwards=examples, seconds=stored.seconds * examples / stored.forwards)


def _passes(folder: Path) -> Passes:
    manifest = _manifest(folder)
    return Passes(*(manifest.get(name, 0) for name in ("forwards", "backwards", "seconds")))


def _manifest(folder: Path) -> dict[str, Any]:
    return read_manifest(folder) if (folder / MANIFEST).exists() else {}


def _lineages(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return the distinct ancestors of each model, and the model itself."""
    lineages: dict[str, tuple[str, ...]] = {}
    for name, node in graph.nodes.items():
        parents = [parent for _, kind, parent in node.settings.references() if kind == "model"]
        lineages[name] = (*dict.fromkeys(node for parent in parents for node in lineages[parent]), name)
    return lineages


def _cost(group: str, stage: str, ends: bool, lineages: Sequence[Sequence[_Work]]) -> ModelCost:
    base = [
        _total(work.stage for work in works) + _distinct(work.scores for work in works) for works in lineages
    ]
    signals = [_distinct(work.signals for work in works) for works in lineages]
    beside = [_total(work.beside for work in works) for works in lineages]
    return ModelCost(
        group,
        stage,
        len(lineages),
        ends,
        fmean(sum(work.trained for work in works) for works in lineages),
        _mean([passes + teacher for passes, teacher in zip(base, signals, strict=True)]),
        _mean([passes + teacher for passes, teacher in zip(base, beside, strict=True)]),
    )


def _distinct(parts: Iterable[dict[Path, Passes]]) -> Passes:
    """Return the computation of artifacts that models may share, each artifact counted once."""
    return _total({place: passes for part in parts for place, passes in part.items()}.values())


def _total(parts: Iterable[Passes]) -> Passes:
    return sum(parts, Passes())


def _mean(costs: Sequence[Passes]) -> Passes:
    total = _total(costs)
    return Passes(*(getattr(total, name) / len(costs) for name in ("forwards", "backwards", "seconds")))
