"""The cost of a graph's artifacts: seconds, examples and tokens, by stage."""

from dataclasses import dataclass
from typing import Any

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import MANIFEST
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import jobs_for

SEEN = {"examples": "examples_seen", "tokens": "tokens_seen"}


@dataclass(frozen=True)
class Cost:
    """The cost of all jobs of a stage.

    Args:
        stage: the stage.
        jobs: number of jobs.
        seconds: seconds of the jobs.
        examples: training examples seen, with repetitions; 0 for a stage without training.
        tokens: tokens of these examples.
    """

    stage: str
    jobs: int
    seconds: float
    examples: int
    tokens: int


@dataclass(frozen=True)
class Ledger:
    """The cost of a graph, and the environment of its jobs.

    Args:
        costs: the cost of each stage, the highest first.
        environment: the versions, devices and commits of the manifests, by name.
    """

    costs: tuple[Cost, ...]
    environment: dict[str, str]

    @property
    def total(self) -> Cost:
        """The sum over stages."""
        sums = {name: sum(getattr(cost, name) for cost in self.costs) for name in ("jobs", *SEEN)}
        return Cost("all", seconds=sum(cost.seconds for cost in self.costs), **sums)


def read_ledger(graph: Graph) -> Ledger:
    """Add up the manifests of all artifacts that a graph uses."""
    manifests: dict[str, list[dict[str, Any]]] = {}
    for job in jobs_for(graph, graph.nodes):
        if (job.folder / MANIFEST).exists():
            manifests.setdefault(job.stage, []).append(read_manifest(job.folder))
    costs = sorted((_cost(*item) for item in manifests.items()), key=lambda cost: -cost.seconds)
    every = [manifest for by_stage in manifests.values() for manifest in by_stage]
    return Ledger(tuple(costs), _environment(every))


def _cost(stage: str, manifests: list[dict[str, Any]]) -> Cost:
    sums = {name: sum(manifest.get(key, 0) for manifest in manifests) for name, key in SEEN.items()}
    return Cost(stage, len(manifests), sum(manifest["seconds"] for manifest in manifests), **sums)


def _environment(manifests: list[dict[str, Any]]) -> dict[str, str]:
    values_of: dict[str, set[str]] = {}
    for manifest in manifests:
        commit = (manifest["commit"] or "")[:12]
        facts = {**manifest["versions"], "device": manifest["device"], "commit": commit}
        for name, value in facts.items():
            values_of.setdefault(name, set()).add(value)
    texts = {name: ", ".join(sorted(values - {""})) for name, values in values_of.items()}
    return {name: text for name, text in texts.items() if text}
