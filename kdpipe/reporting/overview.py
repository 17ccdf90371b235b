"""Which model to take: the steps of the chains that make the models, with their size, speed and scores."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from kdpipe.anatomy.analysis import Analysis
from kdpipe.anatomy.formats import exported, model_and_format
from kdpipe.anatomy.multiply_adds import usual_length
from kdpipe.config.matrix import Matrix
from kdpipe.plan.graph import Graph
from kdpipe.plan.saved.files import weight_bytes
from kdpipe.reporting.chains import descent_of, groups_of, sources_of, stage_of, steps_of
from kdpipe.reporting.grouping import group_names, model_groups
from kdpipe.reporting.tables import Column, Score, ScoreTable, Split


class Shape(NamedTuple):
    """What was measured: texts in a batch, and tokens of a text."""

    batch: int
    length: int


class Place(NamedTuple):
    """Where models are scored: the first metric of a dataset on the first split of its table."""

    dataset: str
    split: Split
    column: Column


class Cell(NamedTuple):
    """A score, and whether all smaller models score worse, and no model of the same size scores better."""

    score: Score
    tradeoff: bool


@dataclass(frozen=True)
class Step:
    """Models, or models in a format, as a step of a chain; the numbers are means over the models.

    Args:
        name: the models, with the variables open that differ among them.
        stage: the stage that makes them.
        sources: the models that they are made from.
        parameters: number of weights.
        megabytes: size of the files with the weights, in 10^6 bytes.
        multiply_adds: for a text of the overview's length; NaN where they are unknown.
        smaller: how many times as large the largest model is that they descend from; NaN without one.
        seconds: the median time of a batch, by what was measured.
        faster: how many times this time the largest such model takes that was measured.
        cells: the score at each place.
    """

    name: str
    stage: str
    sources: tuple[str, ...]
    parameters: float
    megabytes: float
    multiply_adds: float
    smaller: float
    seconds: Mapping[Shape, float]
    faster: Mapping[Shape, float]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Overview:
    """The steps of all chains, where they are scored, and what was measured of them.

    Args:
        places: where they are scored.
        shapes: what was measured.
        length: tokens of the text whose multiply-adds are counted; every model reads so many.
        steps: the steps.
        sizes: the numbers of each group of runs, which are its index; a time has its `Shape` as column.
    """

    places: tuple[Place, ...]
    shapes: tuple[Shape, ...]
    length: int
    steps: tuple[Step, ...]
    sizes: pd.DataFrame


def overview(
    graph: Graph,
    tables: Sequence[ScoreTable],
    structures: Sequence[tuple[list[str], Analysis]],
    measured: pd.DataFrame,
) -> Overview:
    """Return the steps of the chains of a graph.

    Args:
        graph: the graph.
        tables: the scores on each dataset.
        structures: what models consist of, with their groups.
        measured: what was measured of models, with the columns of `kdpipe.reporting.measurements`.
    """
    groups = groups_of(graph)
    sources = sources_of(graph, groups)
    chosen = steps_of(graph, groups, sources)
    length = min(usual_length(each.config) for _, each in structures)
    sizes = _sizes(graph, groups, structures, length).join(_times(measured, model_groups(graph)))
    shapes = tuple(column for column in sizes if isinstance(column, Shape))
    ratios = _ratios(sizes, descent_of(graph, groups, sources))
    scored = [table for table in tables if table.splits]
    cells = [_cells(table, chosen, sizes["megabytes"]) for table in scored]
    row_of = _row_names(graph, groups, chosen, cells)
    rows: dict[str, list[str]] = {}
    for group in chosen:
        rows.setdefault(row_of[group], []).append(group)
    stages = {group: stage_of(graph, name) for name, group in groups.items()}
    steps = [
        Step(
            name=name,
            stage=stages[together[0]],
            sources=tuple(
                dict.fromkeys(row_of.get(each, each) for group in together for _, each in sources[group])
            ),
            **_numbers(sizes.loc[together].mean(), ratios.loc[together].mean(), shapes),
            cells=tuple(_cell(each, together) for each in cells),
        )
        for name, together in rows.items()
    ]
    places = tuple(Place(table.dataset, table.splits[0], table.columns[0]) for table in scored)
    return Overview(places, shapes, length, tuple(steps), sizes.loc[chosen])


def _sizes(
    graph: Graph,
    groups: Mapping[str, str],
    structures: Iterable[tuple[list[str], Analysis]],
    length: int,
) -> pd.DataFrame:
    """Return the numbers of each group, of which the first run gives the size."""
    counts: dict[str, tuple[float | None, ...]] = {}
    for names, analysis in structures:
        counts |= dict.fromkeys(names, (analysis.parameters, analysis.multiply_adds(length)))
    first: dict[str, str] = {}
    for name, group in groups.items():
        first.setdefault(group, name)
    rows = [
        (*counts[model_and_format(group)[0]], weight_bytes(graph.layout.runnable(name)) / 1e6)
        for group, name in first.items()
    ]
    columns = ["parameters", "multiply_adds", "megabytes"]
    return pd.DataFrame(rows, index=list(first), columns=columns, dtype=float)


def _times(measured: pd.DataFrame, groups: Mapping[str, str]) -> pd.DataFrame:
    """Return the median time of a batch of each group, the mean over its runs; a column for each `Shape`."""
    if measured.empty:
        return pd.DataFrame()
    pairs = zip(measured["model"].map(groups), measured["format"], strict=True)
    names = [exported(group, format) for group, format in pairs]
    by_shape = measured.assign(model=names).groupby(["model", *Shape._fields])
    times = by_shape["median_seconds"].mean().unstack(list(Shape._fields))
    return times.set_axis([Shape(*column) for column in times.columns.to_list()], axis=1)


def _ratios(sizes: pd.DataFrame, descent: Mapping[str, set[str]]) -> pd.DataFrame:
    """Return how many times each group's number the largest model has that the group descends from.

    The largest model is the one with the most weights; of times, among the models that were measured.
    """
    weights: dict[str, float] = _dict(sizes["parameters"])
    ratios = {}
    for column in sizes:
        known: dict[str, float] = _dict(sizes[column].dropna())
        largest = {
            group: max(descent[group] & known.keys(), key=lambda each: (weights[each], each), default=None)
            for group in known
        }
        ratios[column] = {
            group: known[other] / known[group] for group, other in largest.items() if other and known[group]
        }
    return pd.DataFrame(ratios, index=sizes.index)


def _dict(column: "pd.Series[Any]") -> Any:
    return column.to_dict()


def _cells(table: ScoreTable, chosen: Sequence[str], sizes: "pd.Series[float]") -> dict[str, Cell]:
    """Return the scores of a table's first column, by group."""
    scores = {row.model: row.scores[0] for row in table.rows if row.model in chosen and row.scores[0].average}
    sign = -1 if table.columns[0].lower_is_better else 1
    best, size, cells = float("-inf"), 0.0, {}
    for group in sorted(scores, key=lambda group: (sizes[group], -sign * scores[group].value)):
        value = sign * scores[group].value
        if value > best:
            best, size = value, sizes[group]
        cells[group] = Cell(scores[group], len(scores) > 1 and (value, sizes[group]) == (best, size))
    return cells


def _cell(cells: Mapping[str, Cell], groups: Iterable[str]) -> Cell:
    return next((cells[group] for group in groups if group in cells), Cell(Score(), False))


def _row_names(
    graph: Graph, groups: Mapping[str, str], chosen: Sequence[str], cells: Sequence[Mapping[str, Cell]]
) -> dict[str, str]:
    """Return the row of each group: groups that differ only in variables of datasets share a row.

    If this gave a row two scores on one dataset, each group has a row of its own. Groups of a template
    without scores share a row.
    """
    document, matrix = graph.document, Matrix(graph.document.matrix)
    of_datasets = {name for template in document.datasets for name in matrix.variables_in(template)}
    names = group_names(document.models, matrix, [*document.report.over, *of_datasets])
    row_of, scored = dict[str, str](), set[str]().union(*cells)
    for name, group in groups.items():
        model, format = model_and_format(name)
        row_of[group] = exported(names[model] if group in scored else graph.nodes[model].template, format)
    if any(len({row_of[group] for group in each}) < len(each) for each in cells):
        row_of |= {group: group for group in scored}
    return {group: row_of[group] for group in chosen}


def _numbers(size: "pd.Series[float]", ratio: "pd.Series[float]", shapes: Sequence[Shape]) -> dict[str, Any]:
    """Return the numbers of a step."""
    return {
        **{name: size[name] for name in ("parameters", "megabytes", "multiply_adds")},
        "smaller": ratio["megabytes"],
        "seconds": {shape: size[shape] for shape in shapes if size[shape] == size[shape]},
        "faster": {shape: ratio[shape] for shape in shapes if ratio[shape] == ratio[shape]},
    }
