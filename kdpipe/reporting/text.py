"""The results as plain text, for the screen."""

from dataclasses import replace

import pandas as pd

from kdpipe.artifacts.sums import SUMS
from kdpipe.plan.graph import Graph
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.results import collect_results
from kdpipe.reporting.tables import Score, ScoreTable, lay_out

BEST = "*"


def format_results(graph: Graph) -> str:
    """Return the scores that a graph has so far; "" if it has none.

    Raises:
        KdpipeError: an evaluation, or an evaluated model, was changed.
    """
    layout = graph.layout
    finished = [
        (model, dataset)
        for model, dataset in graph.evaluations
        if (layout.model(model) / SUMS).exists() and (layout.evaluation(model, dataset) / SUMS).exists()
    ]
    # This table shows no published values. `aggregate` would demand a score for each of them.
    report = graph.document.report.model_copy(update={"published": None})
    shown = replace(graph, document=graph.document.model_copy(update={"report": report}))
    return format_table(aggregate(collect_results(shown, finished), shown)) if finished else ""


def format_table(aggregated: pd.DataFrame) -> str:
    """Return aggregated results as text: a table per dataset, the best of each column marked `*`.

    Args:
        aggregated: the results from `aggregate`.
    """
    tables = [line for table in lay_out(aggregated) for line in (*_lines(table), "")]
    return "\n".join(tables).rstrip() or "no model was evaluated"


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
    """Return a score with room for a spread of some width, so that the means are aligned."""
    spread = f" ± {score.spread:{width}}" if score.spread else " " * (width and width + 3)
    return f"{score.mean}{BEST if score.best else ' '}{spread}"
