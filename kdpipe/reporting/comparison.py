"""The scores of two results side by side, with intervals of their differences."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from math import nan
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from kdpipe.anatomy.formats import exported
from kdpipe.evaluation.resampling import interval
from kdpipe.plan.graph import Graph
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.differences import (
    Interval,
    center_of,
    place_of,
    resampled_difference,
    resampled_metrics,
)
from kdpipe.reporting.grouping import Result, dataset_groups, model_groups
from kdpipe.reporting.measurements import read_measurements
from kdpipe.reporting.overview import overview
from kdpipe.reporting.results import collect_results
from kdpipe.reporting.structures import model_structures


class Key(NamedTuple):
    """What tells the score of a group of runs from others."""

    dataset: str
    split: str
    metric: str
    model: str

    @property
    def place(self) -> tuple[str, str, str]:
        """Where the group is scored."""
        return self[:3]


class Side(NamedTuple):
    """A score of a group of runs in one of the results; NaN where it is not there."""

    average: float
    spread: float


class Compared(NamedTuple):
    """A score in two results. The difference, the second less the first, is of the runs that both have.

    The interval is NaN where both have no run in common, or their runs predict other examples.
    """

    key: Key
    first: Side
    second: Side
    difference: float
    interval: Interval


def compare(first: Graph, second: Graph) -> list[Compared]:
    """Return the scores of two finished graphs side by side; models and datasets match by their names."""
    results = [collect_results(graph) for graph in (first, second)]
    sides = [_averages(*side) for side in zip((first, second), results, strict=True)]
    found = _differences(first, second, *(table.to_pylist() for table in results))
    unknown = Side(nan, nan)
    compared = []
    for key in _in_order(*sides):
        difference, bounds = found.get(key, (nan, (nan, nan)))
        old, new = (side.get(key, unknown) for side in sides)
        compared.append(Compared(key, old, new, difference, bounds))
    return compared


def compare_sizes(first: Graph, second: Graph) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return sizes, multiply-adds and times of the models of two finished graphs, with a row for each model.

    Both tables have the rows and columns of both graphs; what is not known is NaN.
    """
    old, new = _sizes(first), _sizes(second)
    models, numbers = (list(dict.fromkeys([*a, *b])) for a, b in ((old.index, new.index), (old, new)))
    return old.reindex(index=models, columns=numbers), new.reindex(index=models, columns=numbers)


def _sizes(graph: Graph) -> pd.DataFrame:
    """Return the numbers of each step of a graph's chains; the columns have names to read."""
    # Sizes need no scores.
    found = overview(graph, (), model_structures(graph), read_measurements(graph))
    numbers = {
        "parameters": found.sizes["parameters"],
        "MB": found.sizes["megabytes"],
        f"MMACs for {found.length} tokens": found.sizes["multiply_adds"] / 1e6,
    }
    for shape in found.shapes:
        numbers[f"ms for {shape.batch} x {shape.length}"] = 1000 * found.sizes[shape]
    return pd.DataFrame(numbers)


def _in_order(first: Mapping[Key, Side], second: Mapping[Key, Side]) -> list[Key]:
    """Return the scores place by place, in the order of the first results, then of the second."""
    keys = {**first, **second}
    places = list(dict.fromkeys(key.place for key in keys))
    return sorted(keys, key=lambda key: places.index(key.place))


def _averages(graph: Graph, results: pa.Table) -> dict[Key, Side]:
    """Return the scores of a graph; of each dataset, splits that choose no model come first."""
    table = aggregate(results, graph)
    table = table.assign(place=pd.factorize(table["dataset"])[0])
    rows = table.sort_values(["place", "selection"], kind="stable").to_dict("records")
    return {Key(*(row[name] for name in Key._fields)): Side(row["average"], row["spread"]) for row in rows}


def _differences(
    first: Graph, second: Graph, scores: Sequence[Result], others: Sequence[Result]
) -> dict[Key, tuple[float, Interval]]:
    """Return the difference of the runs that both results have, and its interval, by group."""
    by_place = {(*place_of(row), row["metric"]): row for row in others}
    keys = [(*place_of(row), row["metric"]) for row in scores]
    common = [(row, by_place[key]) for row, key in zip(scores, keys, strict=True) if key in by_place]
    old, new = (
        resampled_metrics(graph, [pair[side] for pair in common])
        for side, graph in enumerate((first, second))
    )
    center, models, datasets = center_of(first), model_groups(first), dataset_groups(first)
    values: dict[Key, list[float]] = defaultdict(list)
    replicates: dict[Key, list[Any]] = defaultdict(list)
    for one, other in common:
        key = Key(
            datasets[one["dataset"]],
            one["split"],
            one["metric"],
            exported(models[one["model"]], one["format"]),
        )
        values[key].append(other["value"] - one["value"])
        runs = new[place_of(other)], [old[place_of(one)]]
        replicates[key].append(resampled_difference(*runs, one["metric"], center))
    found = {}
    for key, each in values.items():
        known = all(run is not None for run in replicates[key])
        bounds = interval(np.array(replicates[key]), partial(center, axis=0)) if known else (nan, nan)
        found[key] = float(center(each)), bounds
    return found
