"""Heat maps of importance: heads by layer, and each layer's neurons by their quantiles."""

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
from kdpipe.plan.stages.helpers import ScoreImportanceSettings

SCORES = "scores.parquet"
QUANTILES = tuple(range(5, 100, 10))


@dataclass(frozen=True)
class Cell:
    """A field of a heat map.

    Args:
        share: its value as a share of the largest of the map.
        text: the value, and what it is of.
    """

    share: float
    text: str


@dataclass(frozen=True)
class HeatMap:
    """Values by layer, from the lowest, and by something else.

    Args:
        across: what the columns are.
        columns: their names.
        rows: the fields of each layer, from the left; fewer where it has fewer units.
    """

    across: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Importance:
    """The scores of a model's units.

    Args:
        title: the model, the data and the criterion.
        note: what was read, and how.
        maps: a map of its heads, and one of its neurons.
    """

    title: str
    note: str
    maps: tuple[HeatMap, ...]


def importance_maps(graph: Graph) -> Iterator[Importance]:
    """Draw the scores of importance that a graph makes."""
    for (model, dataset, key), how in graph.importances.items():
        folder = graph.layout.importance(model, dataset, key)
        verify(folder)
        yield Importance(
            f"{model} on {dataset}: {how.criterion}",
            f"{_data(how)}seed {how.seed}",
            tuple(_maps(folder / SCORES)),
        )


def _data(how: ScoreImportanceSettings) -> str:
    if not constants(catalog.CRITERIA[how.criterion])["reads_data"]:
        return ""
    amount = "all" if how.batches is None else f"at most {how.batches:,}"
    return f"{how.split}, {amount} batches of {how.batch_size}, by {how.reduction}, "


def _maps(path: Path) -> Iterator[HeatMap]:
    scores: pd.DataFrame = pq.read_table(path).to_pandas()
    layers = range(scores["layer"].max() + 1)
    by_unit = {
        unit: [own.loc[own["layer"] == layer, "score"].to_numpy(float) for layer in layers]
        for unit, own in scores.groupby("unit", sort=False)
    }
    if "head" in by_unit:
        widest = max(map(len, by_unit["head"]))
        yield _map("head", [str(head) for head in range(widest)], by_unit["head"])
    if "neuron" in by_unit:
        shares = np.array(QUANTILES) / 100
        quantiles = [np.quantile(own, shares) if len(own) else own for own in by_unit["neuron"]]
        yield _map("neurons by quantile, %", [str(share) for share in QUANTILES], quantiles)


def _map(across: str, columns: list[str], values: list[NDArray[np.float64]]) -> HeatMap:
    largest = max((float(own.max()) for own in values if len(own)), default=0.0) or 1.0
    rows = tuple(
        tuple(
            Cell(value / largest, f"layer {layer}, {column}: {value:.4g}")
            for column, value in zip(columns, own.tolist(), strict=False)
        )
        for layer, own in enumerate(values)
    )
    return HeatMap(across, tuple(columns), rows)
