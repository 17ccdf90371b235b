"""The results averaged over runs: mean or median, and spread, beside a baseline and published values."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from math import nan
from statistics import fmean, median
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kdpipe.anatomy.formats import TORCH, exported
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import CHOSEN
from kdpipe.reporting.grouping import GROUP, Result, dataset_groups, model_groups
from kdpipe.reporting.published import own_lines, published_lines
from kdpipe.reporting.results import in_braces, variable_columns

SELECTION_SPLIT = "validation"


def aggregate(results: pa.Table, graph: Graph, *, intervals: bool = False) -> pd.DataFrame:
    """Average results over the variables of `report.over`.

    There is a row for each model, dataset, split and metric of the dataset, where models and datasets are
    groups (`kdpipe.reporting.grouping`); an exported model has a row of its own, as `MODEL+FORMAT`. The
    columns are `model`, `template`, `stage`, `dataset`, `split`, `metric`; `average` (the mean, or as
    `report.statistic` says the median), `spread` (sample standard deviation) and `runs`; `n`, `parameters`,
    `depth`, `width` and `seconds` as means; `difference` to the baseline with `difference_spread`, and with
    its interval from `low` to `high` (NaN without `intervals`); `published` with its `paper`; `selection`
    (whether models are chosen by the split); `primary` (whether models for the dataset's task are chosen by
    the metric); and each variable that is not averaged over, with its name in braces.

    Raises:
        DataError: the CSV of published values has a mistake.
    """
    report = graph.document.report
    rows = _with_groups(results, graph)
    scores: list[Any] = rows.to_dict("records")
    baselines = baseline_scores(scores, graph)
    rows["difference"] = rows["value"] - np.array(baseline_values(baselines, graph), float)
    own, _ = own_lines(graph)
    found = published_lines(scores, own)
    rows["published"] = np.array([line.value if line else None for line in found], float)
    rows["paper"] = [line.paper if line else "" for line in found]
    variables = [name for name in ("seed", *variable_columns(graph)) if name not in report.over]
    columns = {in_braces(name): (in_braces(name), "first") for name in variables}
    groups = rows.groupby(list(GROUP), sort=False)
    averaged = (
        groups.agg(
            template=("template", "first"),
            stage=("stage", "first"),
            average=("value", report.statistic),
            spread=("value", "std"),
            runs=("value", "size"),
            **{name: (name, "mean") for name in ("n", "parameters", "depth", "width", "seconds")},
            difference=("difference", report.statistic),
            difference_spread=("difference", "std"),
            published=("published", "first"),
            paper=("paper", "first"),
            selection=("selection", "any"),
            primary=("primary", "any"),
            **columns,
        )
        .reset_index()
        .rename(columns={"dataset_group": "dataset", "model_group": "model"})
    )
    intervals_of = _intervals(scores, baselines, graph) if intervals else {}
    keys = zip(*(averaged[name.removesuffix("_group")] for name in GROUP), strict=True)
    bounds = [intervals_of.get(key, (nan, nan)) for key in keys]
    return averaged.assign(low=[low for low, _ in bounds], high=[high for _, high in bounds])


def _intervals(*scored: Any) -> dict[tuple[Any, ...], tuple[float, float]]:
    # The tasks import torch, which takes a second, and the table at the end of a run needs no intervals.
    from kdpipe.reporting.differences import difference_intervals

    return difference_intervals(*scored)


def selection_splits(graph: Graph) -> set[tuple[str, str]]:
    """Return the (dataset, split) pairs that choose models.

    These are the splits on which `select` compares models, and the validation split of every dataset, which
    chooses checkpoints and settings. Copies choose by the rows of their original.
    """
    needs = (need for name, node in graph.nodes.items() for need in graph.stage_of(name).needs(node.settings))
    chosen = {(dataset, need.split) for dataset, need in needs if need.does == CHOSEN}
    chosen |= {(graph.datasets[dataset].held_out_of or dataset, split) for dataset, split in chosen}
    return chosen | {(dataset, SELECTION_SPLIT) for dataset in graph.datasets}


def baseline_values(baselines: Sequence[Sequence[Result]], graph: Graph) -> list[float | None]:
    """Return the value of each score's baselines: their mean, or as `report.statistic` says their median."""
    average = median if graph.document.report.statistic == "median" else fmean
    return [average(score["value"] for score in each) if each else None for each in baselines]


def baseline_scores(scores: Sequence[Result], graph: Graph) -> list[Sequence[Result]]:
    """Return the baseline's scores for each score, with the same dataset, split, metric and common variables.

    If the baseline is a template, its nodes match by the variables that both names have, so that seed 1 is
    compared with seed 1; several nodes may match. If the baseline is a node, every model is compared with it.
    """
    baseline = graph.document.report.baseline
    reference = [
        score
        for score in scores
        if score["format"] == TORCH and baseline in (score["model"], score["template"])
    ]
    is_template = bool(reference) and reference[0]["template"] == baseline
    variables = graph.nodes[reference[0]["model"]].variables if is_template else {}

    @cache
    def matching(shared: tuple[str, ...]) -> dict[tuple[Any, ...], list[Result]]:
        by_key = defaultdict(list)
        for score in reference:
            by_key[_key(score, graph, shared)].append(score)
        return by_key

    def matches(score: Result) -> Sequence[Result]:
        choice = graph.nodes[score["model"]].variables
        shared = tuple(name for name in variables if name in choice)
        return matching(shared).get(_key(score, graph, shared), ())

    return [matches(score) for score in scores]


def _with_groups(results: pa.Table, graph: Graph) -> pd.DataFrame:
    datasets = dataset_groups(graph)
    rows: pd.DataFrame = results.to_pandas(integer_object_nulls=True)
    variables = {column: in_braces(name) for name, column in variable_columns(graph).items()}
    rows = rows.rename(columns={"seed": in_braces("seed"), **variables})
    for column in ("depth", "width"):
        rows[column] = rows[column].astype(float)
    rows["model_group"] = _in_format(rows["model"].map(model_groups(graph)), rows["format"])
    rows["template"] = _in_format(rows["template"], rows["format"])
    rows["dataset_group"] = rows["dataset"].map(datasets)
    rows["dataset_template"] = [graph.datasets[name].template for name in rows["dataset"]]
    chosen = selection_splits(graph)
    rows["selection"] = [pair in chosen for pair in zip(rows["dataset"], rows["split"], strict=True)]
    metrics = [graph.datasets[name].metrics for name in rows["dataset"]]
    rows["primary"] = [names[0] == metric for names, metric in zip(metrics, rows["metric"], strict=True)]
    # Other metrics, such as the scores of single types of entities, are only in the results.
    shown = [metric in names for names, metric in zip(metrics, rows["metric"], strict=True)]
    return rows[np.array(shown, dtype=bool)]


def _in_format(names: "pd.Series[str]", formats: "pd.Series[str]") -> list[str]:
    return [exported(name, format) for name, format in zip(names, formats, strict=True)]


def _key(score: Result, graph: Graph, shared: tuple[str, ...]) -> tuple[Any, ...]:
    choice = graph.nodes[score["model"]].variables
    place = (score["dataset"], score["split"], score["metric"])
    return (*place, *(str(choice[name]) for name in shared))
