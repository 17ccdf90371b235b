"""The aggregated results as tables: a table per dataset, a column per split and metric."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from kdpipe.metrics import LOWER_IS_BETTER


@dataclass(frozen=True)
class Column:
    """A metric on a split.

    Args:
        metric: the metric.
        published: whether it has published values.
    """

    metric: str
    published: bool

    @property
    def lower_is_better(self) -> bool:
        """Whether a lower value of the metric is better."""
        return self.metric in LOWER_IS_BETTER


@dataclass(frozen=True)
class Split:
    """The metrics on a split.

    Args:
        name: the split.
        n: number of examples or tokens that the metrics average over, such as `408`.
        selection: whether models are chosen by the split.
        columns: a column per metric.
    """

    name: str
    n: str
    selection: bool
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Cell:
    """The score of a model in a column; missing values are empty texts.

    Args:
        mean: mean over runs.
        spread: sample standard deviation over runs.
        best: whether no model has a better mean.
        difference: mean difference to the baseline, with its sign.
        difference_spread: sample standard deviation of the difference.
        verdict: `better` or `worse` than the baseline, or empty.
        published: published value.
    """

    mean: str = ""
    spread: str = ""
    best: bool = False
    difference: str = ""
    difference_spread: str = ""
    verdict: str = ""
    published: str = ""


@dataclass(frozen=True)
class Row:
    """The scores of a model, or of a group of runs.

    Args:
        model: its name.
        stage: the stage that makes it.
        parameters: number of weights.
        runs: number of runs.
        cells: a cell per column, split by split.
    """

    model: str
    stage: str
    parameters: int
    runs: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """The scores on a dataset.

    Args:
        dataset: its name.
        splits: its splits, with their metrics.
        rows: the scores of each model.
    """

    dataset: str
    splits: tuple[Split, ...]
    rows: tuple[Row, ...]

    @property
    def columns(self) -> list[Column]:
        """The columns of all splits."""
        return [column for split in self.splits for column in split.columns]


def lay_out(aggregated: pd.DataFrame, baseline: str | None = None) -> list[Table]:
    """Lay aggregated results out as one table per dataset.

    Args:
        aggregated: the results from `aggregate`.
        baseline: the model or template that the other models are compared with.
    """
    return [
        _table(str(dataset), part, baseline) for dataset, part in aggregated.groupby("dataset", sort=False)
    ]


def decimals(values: Sequence[float]) -> int:
    """Return the number of decimals, at most four, that shows four digits of the smallest value."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    if not sizes:
        return 4
    return min(4, max(0, 3 - math.floor(math.log10(min(sizes)))))


def _table(dataset: str, part: pd.DataFrame, baseline: str | None) -> Table:
    splits, cells = [], []
    for name, scores in part.groupby("split", sort=False):
        by_metric = {str(metric): rows for metric, rows in scores.groupby("metric", sort=False)}
        columns = tuple(
            Column(metric, bool(rows["published"].notna().any())) for metric, rows in by_metric.items()
        )
        cells += [_cells(column, by_metric[column.metric], baseline) for column in columns]
        splits.append(Split(str(name), _range(scores["n"]), bool(scores["selection"].any()), columns))
    rows = [
        Row(
            str(model),
            str(scores["stage"].iloc[0]),
            round(scores["parameters"].iloc[0]),
            int(scores["runs"].max()),
            tuple(column.get(str(model), Cell()) for column in cells),
        )
        for model, scores in part.groupby("model", sort=False)
    ]
    return Table(dataset, tuple(splits), tuple(rows))


def _range(values: "pd.Series[float]") -> str:
    low, high = round(values.min()), round(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _cells(column: Column, scores: pd.DataFrame, baseline: str | None) -> dict[str, Cell]:
    places = decimals(list(scores["mean"]))
    means = scores["mean"].round(places)
    best = means.min() if column.lower_is_better else means.max()
    cells = {}
    for row, mean in zip(scores.to_dict("records"), means, strict=True):
        is_baseline = baseline in (row["model"], row["template"])
        cells[str(row["model"])] = Cell(
            mean=_number(row["mean"], places),
            spread=_number(row["spread"], places),
            best=mean == best and len(scores) > 1,
            difference="baseline" if is_baseline else _number(row["difference"], places, "+"),
            difference_spread="" if is_baseline else _number(row["difference_spread"], places),
            verdict="" if is_baseline else _verdict(row["difference"], places, column),
            published=_number(row["published"], places),
        )
    return cells


def _number(value: float, places: int, sign: str = "") -> str:
    """Return a number as text, with a true minus sign; empty for NaN."""
    return "" if math.isnan(value) else f"{value:{sign}.{places}f}".replace("-", "\N{MINUS SIGN}")


def _verdict(difference: float, places: int, column: Column) -> str:
    if math.isnan(difference) or not round(difference, places):
        return ""
    return "worse" if (difference < 0) != column.lower_is_better else "better"
