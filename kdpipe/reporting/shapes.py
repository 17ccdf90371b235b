"""The shapes of pruned models: the numbers of heads and neurons in each of their layers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any

from kdpipe.anatomy.families import PRUNED, family_name, shape_of
from kdpipe.config.matrix import Matrix
from kdpipe.plan.graph import Graph
from kdpipe.reporting.grouping import group_names

Config = dict[str, Any]


@dataclass(frozen=True)
class LayerCounts:
    """The numbers of units of a kind in the layers of a model.

    Args:
        unit: `heads` or `neurons`.
        counts: number of units in each layer, from the lowest; for several runs the mean.
        full: number of units in a layer before pruning.
    """

    unit: str
    counts: tuple[float, ...]
    full: float


@dataclass(frozen=True)
class PrunedShape:
    """The shape of a pruned model.

    Args:
        model: the model, or the group of runs.
        kinds: the numbers of its units of each kind.
    """

    model: str
    kinds: tuple[LayerCounts, ...]

    @property
    def depth(self) -> int:
        """The number of layers."""
        return max(len(kind.counts) for kind in self.kinds)


def pruned_shapes(graph: Graph) -> list[PrunedShape]:
    """Return the shapes of the models that lose heads and neurons, in the order of the config."""
    groups = group_names(graph.document.models, Matrix(graph.document.matrix), graph.document.report.over)
    runs: dict[str, list[tuple[Config, Config]]] = {}
    for name, group in groups.items():
        if source := graph.stage_of(name).cut_from(graph.nodes[name].settings):
            pruned, whole = (_read_config(graph.layout.model(model)) for model in (name, source))
            runs.setdefault(group, []).append((pruned, whole))
    return [_shape(group, configs) for group, configs in runs.items()]


def _shape(group: str, runs: Sequence[tuple[Config, Config]]) -> PrunedShape:
    counts = [unit_counts(config) for config, _ in runs]
    # The config of a pruned class has the sizes before pruning, the config of a stock class has not.
    full = [
        uniform_counts(config if config["model_type"].startswith(PRUNED) else source)
        for config, source in runs
    ]
    return PrunedShape(
        group,
        tuple(
            LayerCounts(f"{kind}s", _mean([run[kind] for run in counts]), max(max(run[kind]) for run in full))
            for kind in ("head", "neuron")
        ),
    )


def unit_counts(config: Config) -> dict[str, list[int]]:
    """Return the heads and neurons of each layer of the model that a transformers config describes."""
    return config.get("unit_counts") or uniform_counts(config)


def uniform_counts(config: Config) -> dict[str, list[int]]:
    """Return the heads and neurons of each layer of a model of the stock class with this config."""
    shape = shape_of(family_name(config["model_type"]), config)
    depth = shape.depth or 1
    return {"head": [shape.heads or 0] * depth, "neuron": [shape.neurons or 0] * depth}


def _mean(counts: Sequence[Sequence[int]]) -> tuple[float, ...]:
    layers = zip_longest(*counts)
    return tuple(fmean(count for count in layer if count is not None) for layer in layers)


def _read_config(folder: Path) -> Config:
    content: Config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return content
