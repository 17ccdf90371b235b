"""Which model to take: the steps of the chains that make the models, with their size, speed and scores."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from kdpipe.anatomy.analysis import Analysis
from kdpipe.anatomy.multiply_adds import usual_length
from kdpipe.artifacts.artifact import read_manifest
from kdpipe.config.matrix import Matrix
from kdpipe.plan.graph import Graph
from kdpipe.reporting.grouping import group_names, model_groups
from kdpipe.reporting.tables import Column, Score, ScoreTable, Split

# The setting that names models to choose from. Of these, the chosen model alone is a step of a chain.
AMONG = "among"


class Shape(NamedTuple):
    """What was measured: the format of a model, texts in a batch, and tokens of a text."""

    format: str
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
    """Models as a step of a chain; the numbers are means over the models.

    Args:
        name: the models, with the variables open that differ among them.
        stage: the stage that makes them.
        sources: the models that they are made from.
        parameters: number of weights.
        megabytes: size of the weights, in 10^6 bytes.
        multiply_adds: for a text of the overview's length; NaN where they are unknown.
        smaller: how many times their weights the largest model has that they descend from; NaN without one.
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
    sources = _sources(graph)
    chosen, length = _chosen(graph, sources), min(usual_length(each.config) for _, each in structures)
    sizes = _sizes(structures, length, _times(measured, model_groups(graph)))
    shapes = tuple(column for column in sizes if isinstance(column, Shape))
    ratios = _ratios(sizes, _descent(graph, sources))
    scored = [table for table in tables if table.splits]
    cells = [_cells(table, chosen, sizes["parameters"]) for table in scored]
    row_of = _row_names(graph, chosen, cells)
    rows: dict[str, list[str]] = {}
    for group in chosen:
        rows.setdefault(row_of[group], []).append(group)
    stages = {group: graph.nodes[name].stage for name, group in model_groups(graph).items()}
    steps = [
        Step(
            name=name,
            stage=stages[groups[0]],
            sources=tuple(
                dict.fromkeys(row_of.get(each, each) for group in groups for _, each in sources[group])
            ),
            **_numbers(sizes.loc[groups].mean(), ratios.loc[groups].mean(), shapes),
            cells=tuple(_cell(each, groups) for each in cells),
        )
        for name, groups in rows.items()
    ]
    places = tuple(Place(table.dataset, table.splits[0], table.columns[0]) for table in scored)
    return Overview(places, shapes, length, tuple(steps), sizes.loc[chosen])


def _sources(graph: Graph) -> dict[str, list[tuple[str, str]]]:
    """Return (setting, group) of the models that each group is made from; of candidates the chosen alone."""
    groups = model_groups(graph)
    sources: dict[str, list[tuple[str, str]]] = {}
    for name, group in groups.items():
        found = sources.setdefault(group, [])
        pairs = [(setting, groups[source]) for setting, source in _made_from(graph, name)]
        found += [pair for pair in dict.fromkeys(pairs) if pair not in found]
    return sources


def _made_from(graph: Graph, name: str) -> list[tuple[str, str]]:
    """Return (setting, model) of the models that a model is made from; of candidates the chosen alone."""
    references = graph.nodes[name].settings.references()
    named = [(setting, model) for setting, kind, model in references if kind == "model"]
    if AMONG not in dict(named):
        return named
    chosen = read_manifest(graph.layout.model(name)).get("chosen")
    return [pair for pair in named if pair == (AMONG, chosen)]


def _descent(graph: Graph, sources: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, set[str]]:
    """Return all groups that each group is made from, directly or not."""
    groups = model_groups(graph)
    descent: dict[str, set[str]] = {}
    for name in graph.nodes:
        group = groups[name]
        direct = {source for _, source in sources[group]} - {group}
        descent.setdefault(group, set()).update(direct, *(descent.get(each, ()) for each in direct))
    return descent


def _chosen(graph: Graph, sources: Mapping[str, Sequence[tuple[str, str]]]) -> list[str]:
    """Return the groups that are steps: final models, and what these are made from.

    A model is final if no other names it. The baseline, and models that were measured, count as final.
    """
    groups, baseline = model_groups(graph), graph.document.report.baseline
    nodes = graph.nodes.values()
    named = {source for node in nodes for _, kind, source in node.settings.references() if kind == "model"}
    kept = {node.name for node in nodes if baseline in (node.name, node.template)} | {*graph.measured}
    wanted = list(dict.fromkeys(groups[name] for name in groups if name not in named or name in kept))
    steps = set(wanted)
    while wanted:
        made_from = {source for _, source in sources[wanted.pop()]}
        wanted += made_from - steps
        steps |= made_from
    return [group for group in sources if group in steps]


def _sizes(
    structures: Iterable[tuple[list[str], Analysis]], length: int, times: pd.DataFrame
) -> pd.DataFrame:
    """Return the numbers of each group, of which the first run gives the size."""
    rows: dict[str, dict[str, float | None]] = {}
    for names, analysis in structures:
        numbers = {
            "parameters": analysis.parameters,
            "megabytes": analysis.size / 1e6,
            "multiply_adds": analysis.multiply_adds(length),
        }
        rows |= dict.fromkeys(names, numbers)
    return pd.DataFrame(list(rows.values()), index=list(rows), dtype=float).join(times)


def _times(measured: pd.DataFrame, groups: Mapping[str, str]) -> pd.DataFrame:
    """Return the median time of a batch of each group, the mean over its runs; a column for each `Shape`."""
    if measured.empty:
        return pd.DataFrame()
    rows = measured.assign(model=measured["model"].map(groups))
    times = rows.groupby(["model", *Shape._fields])["median_seconds"].mean().unstack(list(Shape._fields))
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


def _cells(table: ScoreTable, chosen: Sequence[str], parameters: "pd.Series[float]") -> dict[str, Cell]:
    """Return the scores of a table's first column, by group."""
    scores = {row.model: row.scores[0] for row in table.rows if row.model in chosen and row.scores[0].average}
    sign = -1 if table.columns[0].lower_is_better else 1
    best, size, cells = float("-inf"), 0.0, {}
    for group in sorted(scores, key=lambda group: (parameters[group], -sign * scores[group].value)):
        value = sign * scores[group].value
        if value > best:
            best, size = value, parameters[group]
        cells[group] = Cell(scores[group], len(scores) > 1 and (value, parameters[group]) == (best, size))
    return cells


def _cell(cells: Mapping[str, Cell], groups: Iterable[str]) -> Cell:
    return next((cells[group] for group in groups if group in cells), Cell(Score(), False))


def _row_names(graph: Graph, chosen: Sequence[str], cells: Sequence[Mapping[str, Cell]]) -> dict[str, str]:
    """Return the row of each group: groups that differ only in variables of datasets share a row.

    If this gave a row two scores on one dataset, each group has a row of its own. Groups of a template
    without scores share a row.
    """
    document, matrix = graph.document, Matrix(graph.document.matrix)
    of_datasets = {name for template in document.datasets for name in matrix.variables_in(template)}
    names = group_names(document.models, matrix, [*document.report.over, *of_datasets])
    groups = {group: name for name, group in model_groups(graph).items() if group in chosen}
    scored = set[str]().union(*cells)
    templates = {group: graph.nodes[name].template for group, name in groups.items() if group not in scored}
    row_of = {group: names[name] for group, name in groups.items() if group in scored}
    if any(len({row_of[group] for group in each}) < len(each) for each in cells):
        row_of = {group: group for group in scored}
    return row_of | templates


def _numbers(size: "pd.Series[float]", ratio: "pd.Series[float]", shapes: Sequence[Shape]) -> dict[str, Any]:
    """Return the numbers of a step."""
    return {
        **{name: size[name] for name in ("parameters", "megabytes", "multiply_adds")},
        "smaller": ratio["parameters"],
        "seconds": {shape: size[shape] for shape in shapes if size[shape] == size[shape]},
        "faster": {shape: ratio[shape] for shape in shapes if ratio[shape] == ratio[shape]},
    }
