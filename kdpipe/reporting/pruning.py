"""Pruning: heat maps of the scores of units, and the numbers of units in each layer of pruned models."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from kdpipe import catalog
from kdpipe.anatomy.families import PRUNED, family_name, shape_of
from kdpipe.artifacts.sums import verify
from kdpipe.declarations import constants
from kdpipe.plan.graph import Graph
from kdpipe.plan.stages.score_importance import ScoreImportanceSettings
from kdpipe.reporting.grouping import model_groups

SCORES = "scores.parquet"
QUANTILES = tuple(range(5, 100, 10))
Config = dict[str, Any]


@dataclass(frozen=True)
class HeatMap:
    """Values by layer, from the lowest layer, and by column; `across` is the title of the columns.

    A layer with fewer units has fewer values.
    """

    across: str
    columns: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]

    @property
    def largest(self) -> float:
        """The value with the full colour."""
        return max((value for row in self.rows for value in row), default=0.0) or 1.0


@dataclass(frozen=True)
class Importance:
    """The scores of a model's units: a title, a note on data and seed, and maps of heads and of neurons."""

    title: str
    note: str
    maps: tuple[HeatMap, ...]


@dataclass(frozen=True)
class LayerCounts:
    """The numbers of heads or neurons in the layers of a model, from the lowest; for several runs the mean.

    A layer has had the `full` number before pruning.
    """

    unit: str
    counts: tuple[float, ...]
    full: float


def importance_maps(graph: Graph) -> Iterator[Importance]:
    """Draw the scores of importance that a graph makes."""
    for (model, dataset, key), settings in graph.importances.items():
        folder = graph.layout.importance(model, dataset, key)
        verify(folder)
        yield Importance(
            f"{model} on {dataset}: {settings.criterion}",
            f"{_data(settings)}seed {settings.seed}",
            tuple(_maps(folder / SCORES)),
        )


def pruned_shapes(graph: Graph) -> dict[str, list[LayerCounts]]:
    """Return the layers of each model that loses heads and neurons, or of each group of such runs."""
    runs: dict[str, list[tuple[Config, Config]]] = {}
    for name, group in model_groups(graph).items():
        if source := getattr(graph.nodes[name].settings, graph.stage_of(name).cut_from, None):
            pruned, whole = (graph.layout.model(model) / "config.json" for model in (name, source))
            configs = json.loads(pruned.read_bytes()), json.loads(whole.read_bytes())
            runs.setdefault(group, []).append(configs)
    return {group: [_layers(kind, configs) for kind in ("head", "neuron")] for group, configs in runs.items()}


def _data(settings: ScoreImportanceSettings) -> str:
    if not constants(catalog.CRITERIA[settings.criterion])["reads_data"]:
        return ""
    amount = "all" if settings.batches is None else f"at most {settings.batches:,}"
    return f"{settings.split}, {amount} batches of {settings.batch_size}, by {settings.reduction}, "


def _maps(path: Path) -> Iterator[HeatMap]:
    scores: pd.DataFrame = pq.read_table(path).to_pandas()
    layers = range(scores["layer"].max() + 1)
    by_unit = {
        unit: [rows.loc[rows["layer"] == layer, "score"].to_numpy(float) for layer in layers]
        for unit, rows in scores.groupby("unit", sort=False)
    }
    if "head" in by_unit:
        heads = tuple(tuple(layer.tolist()) for layer in by_unit["head"])
        yield HeatMap("head", tuple(map(str, range(max(map(len, heads))))), heads)
    if "neuron" in by_unit:
        shares = np.array(QUANTILES) / 100
        quantiles = [np.quantile(layer, shares) if len(layer) else layer for layer in by_unit["neuron"]]
        rows = tuple(tuple(layer.tolist()) for layer in quantiles)
        yield HeatMap("neurons by quantile, %", tuple(map(str, QUANTILES)), rows)


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
