"""`kdpipe compare`: the scores of two results side by side, and the settings in which they differ."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import SUMS
from kdpipe.commands.changes import NONE, setting_differences
from kdpipe.commands.tables import aligned
from kdpipe.errors import KdpipeError
from kdpipe.plan.build import build_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import Layout
from kdpipe.reporting.comparison import Compared, Side, compare, compare_sizes
from kdpipe.reporting.tables import decimals, format_interval, format_number

# What is told where the runs of both sides predict other examples, such as another share of the data.
OTHERS = "(other examples)"


def compare_results(first: Path, second: Path) -> str:
    """Return scores, sizes and times of two folders of results side by side, and settings that differ.

    Raises:
        KdpipeError: a folder has no report, or something in it was changed.
    """
    one, other = _settings(first), _settings(second)
    graphs = _graph(one, first), _graph(other, second)
    tables = [*_tables(compare(*graphs)), *_sizes(*compare_sizes(*graphs))]
    lines = [f"A: {first}", f"B: {second}", *tables, "", *_differing(one, other)]
    return "\n".join(lines)


def _settings(folder: Path) -> dict[str, Any]:
    """Return the config that a report was made of, without the places of files."""
    report = Layout(folder).report
    if not (report / SUMS).is_file():
        raise KdpipeError(
            f"{folder}: expected results with a finished report, found none; give the folder that the config"
            " names as `results`, after `kdpipe run` has ended"
        )
    config: dict[str, Any] = read_manifest(report)["settings"]["config"]
    return config


def _graph(settings: Mapping[str, Any], results: Path) -> Graph:
    """Return the graph of a config; published values are not compared, and their file may be gone."""
    report = {**settings["report"], "published": None}
    return build_graph({**settings, "results": str(results), "report": report})


def _tables(scores: Iterable[Compared]) -> Iterator[str]:
    for place, rows in groupby(scores, lambda row: row.key.place):
        yield ""
        yield from aligned([(", ".join(place), "A", "B", "B - A"), *map(_cells, rows)])


def _sizes(first: pd.DataFrame, second: pd.DataFrame) -> Iterator[str]:
    """Yield a table of sizes and times, with both numbers where they differ."""
    both = zip(first.index, first.to_numpy().tolist(), second.to_numpy().tolist(), strict=True)
    rows = [(str(model), *map(_pair, old, new)) for model, old, new in both]
    yield ""
    yield from aligned([("A -> B where they differ", *map(str, first)), *rows])


def _pair(first: float, second: float) -> str:
    pair = [_size(value) for value in (first, second)]
    return " -> ".join(dict.fromkeys(pair))


def _size(value: float) -> str:
    return "not there" if isnan(value) else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    rows = [(path, *map(_value, pair)) for path, *pair in setting_differences(one, other)]
    yield "settings that differ:" if rows else "the settings are the same"
    if rows:
        yield from (f"  {line}" for line in aligned([("", "A", "B"), *rows]))


def _cells(row: Compared) -> tuple[str, ...]:
    places = decimals([row.first.average, row.second.average])
    difference = format_number(row.difference, places, "+")
    bounds = format_interval(*row.interval, places) or (OTHERS if difference else "")
    return (
        row.key.model,
        *(_score(side, places) for side in (row.first, row.second)),
        f"{difference} {bounds}".strip(),
    )


def _score(side: Side, places: int) -> str:
    if isnan(side.average):
        return "not there"
    spread = format_number(side.spread, places)
    return f"{format_number(side.average, places)}{f' ± {spread}' if spread else ''}"


def _value(value: Any) -> str:
    return "not there" if value is NONE else json.dumps(value)
