"""The aggregated results as tables, a table per dataset with a column per split and metric; also as text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from kdpipe.artifacts.sums import SUMS
from kdpipe.metrics import LOWER_IS_BETTER
from kdpipe.plan.graph import Graph
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.published import without_published
from kdpipe.reporting.results import collect_results

# The mark of the best score of a column in a text.
BEST = "*"
# Decimals of a score.
MOST = 4


@dataclass(frozen=True)
class Column:
    """A metric on a split, and whether the metric has published values."""

    metric: str
    published: bool

    @property
    def lower_is_better(self) -> bool:
        """Whether a lower value of the metric is better."""
        return self.metric in LOWER_IS_BETTER


@dataclass(frozen=True)
class Split:
    """The metrics on a split, the number of their examples or tokens, whether the split chooses models."""

    name: str
    n: str
    selection: bool
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Score:
    """The score of a model in a column: mean or median over runs, and standard deviation; "" where unknown.

    Args:
        value: the mean or median as a number; NaN where unknown.
        best: whether no model has a better mean or median.
        difference: difference to the baseline, with its sign.
        interval: its confidence interval.
        verdict: `better` or `worse` than the baseline, if the interval leaves out 0.
        published: the published value.
        paper: where the value is from.
    """

    value: float = math.nan

    average: str = ""
    spread: str = ""
    best: bool = False
    difference: str = ""
    interval: str = ""
    difference_spread: str = ""
    verdict: str = ""
    published: str = ""
    paper: str = ""


@dataclass(frozen=True)
class Row:
    """A model or a group of runs: its stage, its weights, its runs, and its scores, split by split."""

    model: str
    stage: str
    parameters: int
    runs: int
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class ScoreTable:
    """The scores of models on the splits of a dataset."""

    dataset: str
    splits: tuple[Split, ...]
    rows: tuple[Row, ...]

    @property
    def columns(self) -> list[Column]:
        """The columns of all splits."""
        return [column for split in self.splits for column in split.columns]


def lay_out(aggregated: pd.DataFrame, baseline: str | None = None, *, most: int = MOST) -> list[ScoreTable]:
    """Lay the results of `aggregate` out as one table per dataset, with at most so many decimals."""
    datasets = aggregated.groupby("dataset", sort=False)
    return [_table(str(dataset), part, baseline, most) for dataset, part in datasets]


def format_results(graph: Graph) -> str:
    """Return the scores that a graph has so far; "" if it has none.

    Raises:
        KdpipeError: an evaluation, or an evaluated model, was changed.
    """
    layout = graph.layout
    finished = [
        (model, dataset)
        for model, dataset in (*graph.evaluations, *graph.exported_evaluations)
        if (layout.runnable(model) / SUMS).exists() and (layout.evaluation(model, dataset) / SUMS).exists()
    ]
    shown = without_published(graph)
    return format_table(aggregate(collect_results(shown, finished), shown)) if finished else ""


def format_table(aggregated: pd.DataFrame) -> str:
    """Return the results of `aggregate` as text: a table per dataset, the best of each column marked `*`."""
    tables = [line for table in lay_out(aggregated) for line in (*_lines(table), "")]
    return "\n".join(tables).rstrip() or "no model was evaluated"


def decimals(values: Sequence[float], most: int = MOST) -> int:
    """Return the number of decimals, at most `most`, that shows as many digits of the smallest value."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    if not sizes:
        return most
    return min(most, max(0, most - 1 - math.floor(math.log10(min(sizes)))))


def _table(dataset: str, part: pd.DataFrame, baseline: str | None, most: int) -> ScoreTable:
    splits, by_column = [], []
    # Splits that choose no model come first.
    for name, scores in part.sort_values("selection", kind="stable").groupby("split", sort=False):
        by_metric = {str(metric): rows for metric, rows in scores.groupby("metric", sort=False)}
        columns = tuple(
            Column(metric, bool(rows["published"].notna().any())) for metric, rows in by_metric.items()
        )
        by_column += [_scores(column, by_metric[column.metric], baseline, most) for column in columns]
        splits.append(Split(str(name), _range(scores["n"]), bool(scores["selection"].any()), columns))
    rows = [
        Row(
            str(model),
            str(scores["stage"].iloc[0]),
            round(scores["parameters"].iloc[0]),
            int(scores["runs"].max()),
            tuple(column.get(str(model), Score()) for column in by_column),
        )
        for model, scores in part.groupby("model", sort=False)
    ]
    return ScoreTable(dataset, tuple(splits), tuple(rows))


def _range(values: "pd.Series[float]") -> str:
    low, high = round(values.min()), round(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _scores(column: Column, rows: pd.DataFrame, baseline: str | None, most: int) -> dict[str, Score]:
    places = decimals(list(rows["average"]), most)
    averages = rows["average"].round(places)
    best = averages.min() if column.lower_is_better else averages.max()
    scores = {}
    for row, average in zip(rows.to_dict("records"), averages, strict=True):
        is_baseline = baseline in (row["model"], row["template"])
        scores[str(row["model"])] = Score(
            value=row["average"],
            average=format_number(row["average"], places),
            spread=format_number(row["spread"], places),
            best=average == best and len(rows) > 1,
            difference="baseline" if is_baseline else format_number(row["difference"], places, "+"),
            interval=format_interval(row["low"], row["high"], places),
            difference_spread="" if is_baseline else format_number(row["difference_spread"], places),
            verdict=_verdict(row["low"], row["high"], column),
            published=format_number(row["published"], places),
            paper=row["paper"],
        )
    return scores


def format_number(value: float, places: int, sign: str = "") -> str:
    """Return a number as text, with a true minus sign; empty for NaN."""
    if math.isnan(value):
        return ""
    # The sum is 0, not -0, where a number rounds to zero.
    rounded = round(value, places) + 0.0
    return f"{rounded:{sign}.{places}f}".replace("-", "\N{MINUS SIGN}")


def format_interval(low: float, high: float, places: int) -> str:
    """Return an interval as text; empty if it is unknown."""
    ends = [format_number(end, places, "+") for end in (low, high)]
    return f"[{', '.join(ends)}]" if all(ends) else ""


def _verdict(low: float, high: float, column: Column) -> str:
    """Return whether an interval lies on one side of 0; "" if it does not, or is unknown."""
    if low > 0 or high < 0:
        return "worse" if (high < 0) != column.lower_is_better else "better"
    return ""


def _lines(table: ScoreTable) -> list[str]:
    head = [
        (table.dataset, "parameters", "runs", *(split.name for split in table.splits for _ in split.columns)),
        ("", "", "", *(column.metric for column in table.columns)),
    ]
    spreads = [max(len(row.scores[at].spread) for row in table.rows) for at in range(len(table.columns))]
    body = [
        (row.model, f"{row.parameters:,}", str(row.runs), *map(_text, row.scores, spreads))
        for row in table.rows
    ]
    widths = [max(map(len, column)) for column in zip(*head, *body, strict=True)]
    form = "  ".join(f"{{:{'>' if index else '<'}{width}}}" for index, width in enumerate(widths))
    first, *others = [form.format(*cells).rstrip() for cells in (*head, *body)]
    return [first, others[0], "-" * len(first), *others[1:]]


def _text(score: Score, width: int) -> str:
    """Return a score with room for a spread of some width, so that the numbers are aligned."""
    spread = f" ± {score.spread:{width}}" if score.spread else " " * (width and width + 3)
    return f"{score.average}{BEST if score.best else ' '}{spread}"
