"""The cost of a graph's artifacts by their manifests: by stage, and of each model with its ancestors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import MANIFEST
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import jobs_for, model_job
from kdpipe.plan.stage import Job
from kdpipe.reporting.grouping import model_groups

LEFT_OUT = "examples_left_out"
SEEN_COLUMNS = {"examples": "examples_seen", "tokens": "tokens_seen"}
Manifest = dict[str, Any]


@dataclass(frozen=True)
class StageCost:
    """The number of all jobs of a stage, their seconds, and the examples and tokens of their trainings."""

    stage: str
    jobs: int
    seconds: float
    examples: int
    tokens: int


@dataclass(frozen=True)
class Ledger:
    """What manifests tell of all jobs.

    Args:
        costs: the cost of each stage, the highest first.
        total: their sum.
        environment: the environment of the jobs, by name.
        left_out: examples that a training left out because tokenizers differ, by model.
    """

    costs: tuple[StageCost, ...]
    total: StageCost
    environment: dict[str, str]
    left_out: dict[str, int]


class Passes(NamedTuple):
    """The computation of jobs: examples in forward and backward passes of any model, and seconds."""

    forwards: float = 0
    backwards: float = 0
    seconds: float = 0


@dataclass(frozen=True)
class ModelCost:
    """The cost of a model, or a group of runs, with its ancestors, each counted once; for a group the mean.

    Args:
        ends: whether no other evaluated model is made from it.
        trainings: number of trained models, this model included.
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


def read_ledger(graph: Graph) -> Ledger:
    """Add up the manifests of all artifacts that a graph uses."""
    manifests: dict[str, list[Manifest]] = {}
    left_out: dict[str, int] = {}
    for job in jobs_for(graph, graph.nodes):
        if manifest := _manifest(job.folder):
            manifests.setdefault(job.stage, []).append(manifest)
            if manifest.get(LEFT_OUT):
                left_out[job.folder.name] = manifest[LEFT_OUT]
    costs = sorted((_stage_cost(*item) for item in manifests.items()), key=lambda cost: -cost.seconds)
    every = [manifest for by_stage in manifests.values() for manifest in by_stage]
    return Ledger(tuple(costs), _stage_cost("all", every), _environment(every), left_out)


def model_costs(graph: Graph) -> list[ModelCost]:
    """Return the cost of each evaluated model; models that differ only in `report.over` form a group.

    The cost contains models, stored signals, scores of importance, and evaluations that choose a model. It
    does not contain encoding and other evaluations.
    """
    evaluated = {model for model, _ in graph.evaluations}
    runs: dict[str, list[str]] = {}
    for name, group in model_groups(graph).items():
        if name in evaluated:
            runs.setdefault(group, []).append(name)
    ancestry = _ancestry(graph)
    sources = {ancestor for name in evaluated for ancestor in ancestry[name][:-1]}
    trained = {name for name, node in graph.nodes.items() if hasattr(node.settings, "training")}
    jobs = {name: model_job(graph, name) for name in graph.nodes}
    manifest_of = cache(_manifest)
    costs = []
    for group, names in runs.items():
        made_by = [[jobs[model] for model in ancestry[name]] for name in names]
        costs.append(
            ModelCost(
                model=group,
                stage=graph.nodes[names[0]].stage,
                runs=len(names),
                ends=sources.isdisjoint(names),
                trainings=fmean(len(trained.intersection(ancestry[name])) for name in names),
                cost=_mean([_cached(part, manifest_of) for part in made_by]),
                uncached=_mean([_uncached(part, manifest_of) for part in made_by]),
            )
        )
    return costs


def _stage_cost(stage: str, manifests: Sequence[Manifest]) -> StageCost:
    sums = {name: sum(manifest.get(key, 0) for manifest in manifests) for name, key in SEEN_COLUMNS.items()}
    return StageCost(stage, len(manifests), sum(manifest["seconds"] for manifest in manifests), **sums)


def _environment(manifests: Sequence[Manifest]) -> dict[str, str]:
    values_of: dict[str, set[str]] = {}
    for manifest in manifests:
        commit = (manifest["commit"] or "")[:12]
        machine = manifest.get("machine", "")
        facts = {**manifest["versions"], "device": manifest["device"], "machine": machine, "commit": commit}
        for name, value in facts.items():
            values_of.setdefault(name, set()).add(value)
    texts = {name: ", ".join(sorted(values - {""})) for name, values in values_of.items()}
    return {name: text for name, text in texts.items() if text}


def _ancestry(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return the distinct ancestors of each model, and the model itself at the end."""
    ancestry: dict[str, tuple[str, ...]] = {}
    for name, node in graph.nodes.items():
        parents = [parent for _, kind, parent in node.settings.references() if kind == "model"]
        ancestry[name] = (*dict.fromkeys(node for parent in parents for node in ancestry[parent]), name)
    return ancestry


def _cached(jobs: Sequence[Job], manifest_of: Callable[[Path], Manifest], *, signals: bool = True) -> Passes:
    """Return the computation of models, and of the artifacts that they may share, each counted once."""
    options = ("importance", "evaluations", *(["knowledge"] if signals else []))
    shared = [folder for job in jobs for option in options for folder in job.inputs.get(option, ())]
    return _total(map(_passes, map(manifest_of, dict.fromkeys([*(job.folder for job in jobs), *shared]))))


def _uncached(jobs: Sequence[Job], manifest_of: Callable[[Path], Manifest]) -> Passes:
    """Return the computation of models as if each teacher had run beside its trainings."""
    passes = [_cached(jobs, manifest_of, signals=False)]
    for job in jobs:
        examples = manifest_of(job.folder).get("examples_seen", 0)
        for stored in map(_passes, map(manifest_of, job.inputs.get("knowledge", ()))):
            if stored.forwards:
                seconds = stored.seconds * examples / stored.forwards
                passes.append(Passes(forwards=examples, seconds=seconds))
    return _total(passes)


def _passes(manifest: Manifest) -> Passes:
    return Passes(*(manifest.get(name, 0) for name in Passes._fields))


def _manifest(folder: Path) -> Manifest:
    return read_manifest(folder) if (folder / MANIFEST).exists() else {}


def _total(parts: Iterable[Passes]) -> Passes:
    return Passes(*map(sum, zip(*parts, strict=True)))


def _mean(costs: Sequence[Passes]) -> Passes:
    return Passes(*map(fmean, zip(*costs, strict=True)))
