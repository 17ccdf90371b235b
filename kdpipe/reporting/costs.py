"""What the artifacts of a graph cost: seconds, examples and tokens, by stage."""

from dataclasses import dataclass
from typing import Any

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import MANIFEST
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import jobs_for

SEEN = {"examples": "examples_seen", "tokens": "tokens_seen"}


@dataclass(frozen=True)
class Cost:
    """What the jobs of a stage took together.

    Args:
        stage: the stage.
        jobs: number of jobs.
        seconds: their seconds.
        examples: training examples seen, repetitions included; 0 where nothing was trained.
        tokens: tokens of those examples.
    """

    stage: str
    jobs: int
    seconds: float
    examples: int
    tokens: int


@dataclass(frozen=True)
class Ledger:
    """What a graph cost, and on what it was made.

    Args:
        costs: by stage, the dearest first.
        environment: versions, devices and commits that the manifests name, each with its values.
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
    return Ledger(tuple(costs), _environment([one for some in manifests.values() for one in some]))


def _cost(stage: str, manifests: list[dict[str, Any]]) -> Cost:
    sums = {name: sum(one.get(key, 0) for one in manifests) for name, key in SEEN.items()}
    return Cost(stage, len(manifests), sum(one["seconds"] for one in manifests), **sums)


def _environment(manifests: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for one in manifests:
        facts = {**one["versions"], "device": one["device"], "commit": (one["commit"] or "")[:12]}
        for name, value in facts.items():
            found.setdefault(name, set()).add(value)
    texts = {name: ", ".join(sorted(values - {""})) for name, values in found.items()}
    return {name: text for name, text in texts.items() if text}
