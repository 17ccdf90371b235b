"""Heat maps of importance: the heads of each layer, and the quantiles of each layer's neurons."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from kdpipe import catalog
from kdpipe.artifacts.sums import verify
from kdpipe.declarations import constants
from kdpipe.plan.graph import Graph
from kdpipe.plan.stages.score_importance import ScoreImportanceSettings

SCORES = "scores.parquet"
QUANTILES = tuple(range(5, 100, 10))


@dataclass(frozen=True)
class HeatMap:
    """Values by layer, from the lowest layer, and by column.

    Args:
        across: title of the columns.
        columns: names of the columns.
        rows: the values of each layer, from the left; a layer with fewer units has fewer values.
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
        heads = tuple(tuple(layer.tolist()) for layer in by_unit["head"])
        yield HeatMap("head", tuple(map(str, range(max(map(len, heads))))), heads)
    if "neuron" in by_unit:
        shares = np.array(QUANTILES) / 100
        quantiles = [np.quantile(layer, shares) if len(layer) else layer for layer in by_unit["neuron"]]
        rows = tuple(tuple(layer.tolist()) for layer in quantiles)
        yield HeatMap("neurons by quantile, %", tuple(map(str, QUANTILES)), rows)
