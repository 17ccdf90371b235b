"""What the artifacts of a graph cost: seconds, examples and tokens, by stage."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import MANIFEST
from kdpipe.config.graph import Graph

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
    for stage, folder in dict.fromkeys(_artifacts(graph)):
        if (folder / MANIFEST).exists():
            manifests.setdefault(stage, []).append(read_manifest(folder))
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


def _artifacts(graph: Graph) -> Iterator[tuple[str, Path]]:
    layout = graph.layout
    for node in graph.nodes.values():
        yield node.stage, layout.model(node.name)
    for pair in graph.evaluations:
        yield "evaluate", layout.evaluation(*pair)
    for key in graph.caches:
        yield "cache_teacher", layout.knowledge(*key)
    for key in graph.importances:
        yield "score_importance", layout.importance(*key)
    for model, dataset in (*graph.evaluations, *(key[:2] for key in (*graph.caches, *graph.importances))):
        yield "preprocess", layout.data(dataset, graph.facts[model].tokenizer)
    for node in graph.nodes.values():
        own = getattr(node.settings, "dataset", None)
        # `pretrain` makes the tokenizer that it encodes with.
        if own is not None and node.stage != "pretrain":
            place = own, graph.facts[node.name].tokenizer
            yield "preprocess", layout.data(*place)
            masking = getattr(node.settings, "masking", None)
            if masking is not None and masking.smoothing:
                yield "count_tokens", layout.counts(*place)
