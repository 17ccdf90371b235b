"""Published values, which the report shows beside the values of its models, and as rows of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kdpipe.anatomy.formats import exported
from kdpipe.plan.graph import Graph
from kdpipe.plan.published import Key, Line, read_published
from kdpipe.reporting.grouping import dataset_groups, model_groups


def published_lines(scores: Sequence[Mapping[str, Any]], lines: Sequence[Line]) -> list[Line | None]:
    """Return the line with the published value of each score; None for a score without a published value.

    A model or dataset matches by its name, else by its group, else by its template. A line without a split is
    for all splits. Of several papers the first line counts.
    """
    by_key: dict[Key, Line] = {}
    for line in lines:
        by_key.setdefault(line.key, line)
    return [next((by_key[key] for key in _keys(score) if key in by_key), None) for score in scores]


def without_published(graph: Graph) -> Graph:
    """Return a graph whose report has no published values; `aggregate` then demands no score for each."""
    document = graph.document
    report = document.report.model_copy(update={"published": None})
    return replace(graph, document=document.model_copy(update={"report": report}))


def own_lines(graph: Graph) -> tuple[list[Line], list[Line]]:
    """Return the published values that a graph's results have, and all others.

    Raises:
        DataError: the file of published values, or a line of it, is malformed.
    """
    path = graph.document.report.published_file
    groups, metrics = model_groups(graph), _metrics(graph)
    models = {*groups, *groups.values(), *(node.template for node in graph.nodes.values())}
    own: list[Line] = []
    others: list[Line] = []
    for line in read_published(path) if path else ():
        known = line.model in models and line.metric in metrics.get(line.dataset, ())
        (own if known else others).append(line)
    return own, others


def _metrics(graph: Graph) -> dict[str, set[str]]:
    """Return the metrics of each dataset, by its name, its group and its template."""
    groups = dataset_groups(graph)
    metrics: dict[str, set[str]] = {}
    for name, dataset in graph.datasets.items():
        for known in (name, groups.get(name, name), dataset.template):
            metrics.setdefault(known, set()).update(dataset.metrics)
    return metrics


def _keys(score: Mapping[str, Any]) -> list[Key]:
    name = exported(score["model"], score["format"])
    models = dict.fromkeys((name, score["model_group"], score["template"]))
    datasets = dict.fromkeys((score["dataset"], score["dataset_group"], score["dataset_template"]))
    return [
        (model, dataset, split, score["metric"])
        for model in models
        for dataset in datasets
        for split in (score["split"], "")
    ]
