"""Curves of trainings: the terms of the loss by step, and the sizes of teacher assistants by sparsity."""

import re
from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray

from kdpipe.plan.graph import Graph
from kdpipe.reporting.figures import COLOURS, MUTED, add_legend, grid_of_axes, to_svg, use_log_scale
from kdpipe.reporting.grouping import model_groups
from kdpipe.reporting.plots import PANEL_SIZES, Plot

NOT_LOSSES = ("learning_rate", "grad_norm", "train_loss")
MOST_RUNS = 24
MOST_POINTS = 150
COLUMNS = 4
# Letters of a line of a title; a longer title would reach into the next panel.
WIDEST_TITLE = 28
# What is set and not learned has a linear scale.
SET = re.compile("weight of |(lowest|highest) temperature of ")
TERM_SIZE = (2.78, 1.95)
# A term that falls by more than this factor has a logarithmic scale.
LOGARITHMIC_FROM = 30
METRIC_STYLE: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "markerfacecolor": "none"}
TRADEOFF_STYLE: dict[str, Any] = {"color": COLOURS[1], "marker": "s", "markerfacecolor": "none"}
CHOSEN_STYLE: dict[str, Any] = {"color": COLOURS[1], "marker": "s"}

Runs = dict[str, pd.DataFrame]
# For each group of assistants: the target and the trained sizes of each run.
Panels = dict[str, list[tuple[float, pd.DataFrame]]]


def loss_curves(graph: Graph) -> list[Plot]:
    """Draw the loss, its terms and the evaluations over the steps of a training, template by template."""
    groups = model_groups(graph)
    plots: list[Plot] = []
    for template in graph.document.models:
        names = [name for name in groups if name in graph.nodes and graph.nodes[name].template == template]
        if names and hasattr(graph.nodes[names[0]].settings, "training"):
            shown = _spread_out(names, MOST_RUNS)
            paths = {name: graph.layout.model(name) / "history.parquet" for name in shown}
            histories = {name: pq.read_table(path).to_pandas() for name, path in paths.items()}
            runs = {name: rows[~rows["name"].isin(NOT_LOSSES)] for name, rows in histories.items()}
            few = f" ({len(shown)} of {len(names)} runs)" if len(shown) < len(names) else ""
            plots += _figure(template, few, runs, groups)
    return plots


def tradeoff_curves(graph: Graph) -> Iterator[Plot]:
    """Draw a figure for each template of assistants: a panel per group of runs, two lines per run.

    A run is left out if no size lies between teacher and target.
    """
    groups = model_groups(graph)
    figures: dict[str, Panels] = {}
    for name, group in groups.items():
        target = getattr(graph.nodes[name].settings, graph.stage_of(name).target, None)
        if target is not None:
            sizes = pq.read_table(graph.layout.model(name) / "candidates.parquet").to_pandas()
            if len(sizes):
                panels = figures.setdefault(graph.nodes[name].template, {})
                panels.setdefault(group, []).append((target, sizes.sort_values("sparsity")))
    for template, panels in figures.items():
        yield _assistants(template, panels)


def _figure(template: str, few: str, runs: Runs, groups: dict[str, str]) -> Iterator[Plot]:
    terms = _terms(runs)
    if not terms:
        return
    colours = _colours([groups[name] for name in runs])
    with grid_of_axes(len(terms), COLUMNS, TERM_SIZE) as (figure, axes):
        for axis, (term, title) in zip(axes, terms.items(), strict=True):
            _panel(axis, [(history, colours[groups[name]]) for name, history in runs.items()], term)
            axis.set_title(fill(title, WIDEST_TITLE))
        axes[0].set_xlabel("step")
        if len(set(colours.values())) > 1:
            add_legend(figure, {name: {"color": colour} for name, colour in colours.items()})
        yield Plot(f"{template}{few}", to_svg(figure, salt=f"curves of {template}"))


def _panel(axis: Axes, runs: Sequence[tuple[pd.DataFrame, str]], term: str) -> None:
    values = []
    for history, colour in runs:
        part = history[history["name"] == term]
        steps, points = (_thinned(part[column].to_numpy(float)) for column in ("step", "value"))
        marker = "." if len(points) < 10 else ""
        axis.plot(steps, points, color=colour, linewidth=1.0, alpha=0.85, marker=marker)
        values.append(points)
    drawn = np.concatenate(values)
    falls = drawn.size and drawn.min() > 0 and drawn.max() / drawn.min() > LOGARITHMIC_FROM
    if falls and not SET.match(term):
        use_log_scale(axis, "y")
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))


def _terms(runs: Runs) -> dict[str, str]:
    """Return the terms to draw and their titles; the loss is not drawn beside its only term."""
    names = list(dict.fromkeys(name for history in runs.values() for name in history["name"]))
    losses = [name for name in names if not name.startswith("eval_")]
    titles = {"loss": "loss (weighted sum)"}
    if len(losses) == 2 and all(_same(history, *losses) for history in runs.values()):
        names.remove("loss")
        titles[losses[1]] = f"{losses[1]} (the loss)"
    return {name: titles.get(name, name.replace("eval_", "validation ")) for name in names}


def _same(history: pd.DataFrame, first: str, second: str) -> bool:
    left, right = (history.loc[history["name"] == name, "value"].to_numpy() for name in (first, second))
    return left.shape == right.shape and bool(np.allclose(left, right, rtol=1e-3))


def _colours(groups: Sequence[str]) -> dict[str, str]:
    distinct = list(dict.fromkeys(groups))
    if len(distinct) > len(COLOURS):
        return dict.fromkeys(distinct, COLOURS[0])
    return dict(zip(distinct, COLOURS, strict=False))


def _spread_out(names: Sequence[str], most: int) -> list[str]:
    places = np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int)
    return [names[place] for place in places]


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values, or the means of neighbours if there are more values than a reader can see."""
    if len(values) <= MOST_POINTS:
        return values
    return np.array([part.mean() for part in np.array_split(values, MOST_POINTS)])


def _assistants(template: str, panels: Panels) -> Plot:
    columns = min(len(panels), 3)
    with grid_of_axes(len(panels), columns, PANEL_SIZES[columns]) as (figure, axes):
        for axis, (group, runs) in zip(axes, panels.items(), strict=True):
            axis.set_title(group)
            axis.set_xlabel("sparsity")
            axis.set_ylabel(runs[0][1]["metric"].iloc[0].replace("_", " "))
            axis.xaxis.set_major_locator(MaxNLocator(6))
            for target, sizes in runs:
                axis.axvline(target, color=MUTED, linestyle=":", linewidth=1.0)
                _assistant(axis, sizes)
        add_legend(figure, {"metric": METRIC_STYLE, "tradeoff": TRADEOFF_STYLE, "chosen": CHOSEN_STYLE})
        return Plot(template, to_svg(figure, salt=f"tradeoff of {template}"))


def _assistant(axis: Axes, sizes: pd.DataFrame) -> None:
    axis.plot(sizes["sparsity"], sizes["value"], **METRIC_STYLE)
    axis.plot(sizes["sparsity"], sizes["tradeoff"], **TRADEOFF_STYLE)
    chosen = sizes[sizes["chosen"]]
    axis.plot(chosen["sparsity"], chosen["tradeoff"], **CHOSEN_STYLE, markersize=9, linestyle="")
