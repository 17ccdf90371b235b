"""The scores of each model, beside their mean and spread over the runs that the report averages over."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from kdpipe.anatomy.formats import exported
from kdpipe.plan.graph import Graph
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.grouping import dataset_groups, model_groups
from kdpipe.reporting.published import without_published


class Score(NamedTuple):
    """A score of a model.

    Args:
        format: what runs the model.
        dataset: the dataset.
        split: the split.
        metric: the metric.
        value: the score.
        n: the number of examples or tokens.
        average: mean or median over the runs that differ only in `report.over`.
        spread: sample standard deviation over these runs; NaN for a single run.
        runs: their number.
    """

    format: str
    dataset: str
    split: str
    metric: str
    value: float
    n: int
    average: float
    spread: float
    runs: int


def model_scores(graph: Graph, results: pa.Table) -> Mapping[str, Sequence[Score]]:
    """Return the scores of each model by the metrics of its datasets, from the results of the graph."""
    if not results.num_rows:
        return {}
    models, datasets = model_groups(graph), dataset_groups(graph)
    place = ["model", "dataset", "split", "metric"]
    over_runs = aggregate(results, without_published(graph)).set_index(place)[["average", "spread", "runs"]]
    groups: dict[Any, Any] = over_runs.to_dict("index")
    scores: dict[str, list[Score]] = {}
    for row in results.to_pylist():
        format, dataset, split, metric = (row[name] for name in Score._fields[:4])
        group = exported(models[row["model"]], format)
        # Other metrics, such as the scores of single types of entities, are only in the results.
        if over := groups.get((group, datasets[dataset], split, metric)):
            score = Score(format, dataset, split, metric, row["value"], row["n"], **over)
            scores.setdefault(row["model"], []).append(score)
    return scores
