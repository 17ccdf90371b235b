"""Heat maps of importance: the heads of each layer, and the quantiles of each layer's neurons."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdpipe import catalog
from kdpipe.artifacts.sums import verify
from kdpipe.declarations import constants
from kdpipe.plan.graph import Graph
from kdpipe.plan.stages.score_importance import ScoreImportanceSettings

SCORES = "scores.parquet"
QUANTILES = tuple(range(5, 100, 10))


@dataclass(frozen=True)
class Tile:
    """A field of a heat map.

    Args:
        share: its value as a share of the largest value of the map.
        text: its layer, its column and its value.
    """

    share: float
    text: str


@dataclass(frozen=True)
class HeatMap:
    """Values by layer, from the lowest layer, and by column.

    Args:
        across: title of the columns.
        columns: names of the columns.
        rows: the fields of each layer, from the left; a layer with fewer units has fewer fields.
    """

    across: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Tile, ...], ...]


@dataclass(frozen=True)
class Importance:
    """The scores of a model's units.

    Args:
        title: the model, the data and the criterion.
        note: the batches that were read, and the seed.
        maps: a map of its heads, and one of its neurons.
    """

    title: str
    note: str
    maps: tuple[HeatMap, ...]


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
        widest = max(map(len, by_unit["head"]))
        yield _map("head", [str(head) for head in range(widest)], by_unit["head"])
    if "neuron" in by_unit:
        shares = np.array(QUANTILES) / 100
        quantiles = [np.quantile(layer, shares) if len(layer) else layer for layer in by_unit["neuron"]]
        yield _map("neurons by quantile, %", [str(share) for share in QUANTILES], quantiles)


def _map(across: str, columns: list[str], values: list[NDArray[np.float64]]) -> HeatMap:
    largest = max((float(row.max()) for row in values if len(row)), default=0.0) or 1.0
    rows = tuple(
        tuple(
            Tile(value / largest, f"layer {layer}, {column}: {value:.4g}")
            for column, value in zip(columns, row.tolist(), strict=False)
        )
        for layer, row in enumerate(values)
    )
    return HeatMap(across, tuple(columns), rows)
