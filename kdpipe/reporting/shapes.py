"""The shapes of pruned models: the numbers of heads and neurons in each of their layers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any

from kdpipe.anatomy.families import PRUNED, family_name, shape_of
from kdpipe.plan.graph import Graph
from kdpipe.reporting.grouping import model_groups

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


def pruned_shapes(graph: Graph) -> dict[str, list[LayerCounts]]:
    """Return the layers of each model that loses heads and neurons, or of each group of such runs."""
    runs: dict[str, list[tuple[Config, Config]]] = {}
    for name, group in model_groups(graph).items():
        if source := graph.stage_of(name).cut_from(graph.nodes[name].settings):
            pruned, whole = (_read_config(graph.layout.model(model)) for model in (name, source))
            runs.setdefault(group, []).append((pruned, whole))
    return {group: [_layers(kind, configs) for kind in ("head", "neuron")] for group, configs in runs.items()}


def _layers(kind: str, runs: Sequence[tuple[Config, Config]]) -> LayerCounts:
    layers = zip_longest(*((pruned.get("unit_counts") or _uniform(pruned))[kind] for pruned, _ in runs))
    means = (fmean(count for count in layer if count is not None) for layer in layers)
    # The config of a pruned class has the sizes before pruning, the config of a stock class has not.
    full = [
        _uniform(pruned if pruned["model_type"].startswith(PRUNED) else whole)[kind] for pruned, whole in runs
    ]
    return LayerCounts(f"{kind}s", tuple(means), max(map(max, full)))


def _uniform(config: Config) -> dict[str, list[int]]:
    """Return the heads and neurons of each layer of a model of the stock class with a transformers config."""
    shape = shape_of(family_name(config["model_type"]), config)
    depth = shape.depth or 1
    return {"head": [shape.heads or 0] * depth, "neuron": [shape.neurons or 0] * depth}


def _read_config(folder: Path) -> Config:
    content: Config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return content
