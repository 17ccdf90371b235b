"""Plots of the aggregated results: scores against size, time and cost, and the plots of `report.plots`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from kdpipe.config.settings.report import AXES, PlotSettings
from kdpipe.errors import ConfigError, Problem
from kdpipe.reporting.figures import (
    add_legend,
    grid_of_axes,
    look_of,
    name_points,
    to_svg,
    use_log_scale,
)

PANEL_SIZES = {1: (6.4, 3.4), 2: (5.3, 3.2), 3: (3.7, 2.8)}
LOGARITHMIC_FROM = 20
# Ticks from this number on are written in thousands or millions.
SHORTENED_FROM = 1e4
# Tick labels with more characters than this in all are rotated.
CROWDED_FROM = 40


@dataclass(frozen=True)
class Plot:
    """A heading and its figure, an SVG element."""

    title: str
    svg: str


def tradeoff_plots(aggregated: pd.DataFrame, quantities: Mapping[str, Mapping[str, float]]) -> Iterator[Plot]:
    """Plot the first metric of each task against quantities of the models, with names on the points.

    Args:
        aggregated: the aggregated results.
        quantities: values by model, by the name of the quantity; one that no two models have gives no plot.
    """
    scores = _one_split(aggregated[aggregated["primary"]])
    metrics = ", ".join(dict.fromkeys(scores["metric"])).replace("_", " ")
    for quantity, values in quantities.items():
        rows = scores.assign(x=scores["model"].map(values), series=scores["template"])
        rows = rows[rows["x"].notna()]
        if len(rows):
            yield _plot(rows, PlotSettings(x=quantity, y=metrics), named=True)


def further_plots(aggregated: pd.DataFrame, settings: Sequence[PlotSettings]) -> list[Plot]:
    """Draw the plots of a report's settings; a variable with a name of `AXES` stands in braces.

    Raises:
        ConfigError: no model has the values of a plot.
    """
    variables = [name for name in map(str, aggregated) if name.startswith("{")]
    columns = {name.strip("{}"): name for name in variables} | {name: name for name in (*AXES, *variables)}
    rows = [_rows_of(aggregated, plot, columns) for plot in settings]
    empty = [
        Problem(
            f"report.plots[{index}].x",
            f"no model that has the metric {plot.y!r} has {plot.x} and {plot.by or 'template'}",
        )
        for index, (plot, part) in enumerate(zip(settings, rows, strict=True))
        if part.empty
    ]
    if empty:
        raise ConfigError(empty)
    return [_plot(part, plot) for part, plot in zip(rows, settings, strict=True)]


def _rows_of(aggregated: pd.DataFrame, plot: PlotSettings, columns: Mapping[str, str]) -> pd.DataFrame:
    rows = aggregated.assign(x=aggregated[columns[plot.x]], series=aggregated[columns[plot.by or "template"]])
    rows = rows[(rows["metric"] == plot.y) & rows["x"].notna() & rows["series"].notna()]
    return rows if "split" in (plot.x, plot.by) else _one_split(rows)


def _one_split(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the first split of each dataset that chooses no model, or else its first split."""
    ordered = rows.sort_values("selection", kind="stable")
    splits = ordered.groupby("dataset", sort=False)["split"].transform("first")
    return rows[rows["split"] == splits.reindex(rows.index)]


def _plot(rows: pd.DataFrame, plot: PlotSettings, *, named: bool = False) -> Plot:
    """Draw scores; with `named`, points have names where these have room, and else there is a legend."""
    by = f" by {plot.by}" if plot.by else ""
    title = f"{plot.y} against {plot.x}{by}"
    rows = rows.assign(series=rows["series"].map(_text))
    looks = {name: look_of(index) for index, name in enumerate(rows["series"].unique())}
    panels = _panels(rows, plot)
    columns = min(len(panels), 3)
    with grid_of_axes(len(panels), columns, PANEL_SIZES[columns]) as (figure, axes):
        for axis, (name, part) in zip(axes, panels.items(), strict=True):
            _draw(axis, part, plot, looks)
            axis.set_title(name)
            axis.set_xlabel(plot.x)
            axis.set_ylabel(part["metric"].iloc[0].replace("_", " "))
        if not (named and _name_all(figure, axes, panels.values())):
            add_legend(figure, looks)
        return Plot(title[0].upper() + title[1:], to_svg(figure, salt=title))


def _name_all(figure: Figure, axes: Sequence[Axes], panels: Iterable[pd.DataFrame]) -> bool:
    """Write names beside the points of all panels, or beside none; return whether they have room."""
    # This gives the axes their places, by which names are placed.
    figure.draw_without_rendering()
    parts = [
        (axis, [*zip(part["x"], part["average"], strict=True)], [*part["series"]])
        for axis, part in zip(axes, panels, strict=True)
    ]
    if all(name_points(*part) for part in parts):
        return True
    for axis in axes:
        for text in [*axis.texts]:
            text.remove()
    return False


def _panels(rows: pd.DataFrame, plot: PlotSettings) -> dict[str, pd.DataFrame]:
    if "dataset" in (plot.x, plot.by):
        return {"": rows}
    panels = {str(name): part for name, part in rows.groupby("dataset", sort=False)}
    if "split" in (plot.x, plot.by):
        return panels
    return {f"{name}, {part['split'].iloc[0]}": part for name, part in panels.items()}


def _draw(axis: Axes, rows: pd.DataFrame, plot: PlotSettings, looks: Mapping[str, Mapping[str, Any]]) -> None:
    numeric = pd.api.types.is_numeric_dtype(rows["x"].infer_objects())
    ticks = [] if numeric else [_text(value) for value in rows["x"].unique()]
    for name, part in rows.groupby("series", sort=False):
        places = part["x"].astype(float) if numeric else part["x"].map(_text).map(ticks.index)
        part = part.assign(place=places).sort_values("place", kind="stable")
        if plot.by is not None:
            line = part.groupby("place")["average"].mean()
            axis.plot(line.index, line, color=looks[str(name)]["color"], alpha=0.7)
        axis.errorbar(
            part["place"], part["average"], part["spread"], linestyle="", capsize=2, **looks[str(name)]
        )
    if numeric:
        _scale(axis, rows["x"].astype(float))
    else:
        crowded = sum(map(len, ticks)) > CROWDED_FROM
        axis.set_xticks(
            range(len(ticks)), ticks, rotation=30 if crowded else 0, ha="right" if crowded else "center"
        )
        axis.margins(x=0.2)


def _scale(axis: Axes, values: "pd.Series[float]") -> None:
    if values.min() > 0 and values.max() / values.min() > LOGARITHMIC_FROM:
        use_log_scale(axis, "x")
    else:
        axis.xaxis.set_major_locator(MaxNLocator(5))
    if values.max() >= SHORTENED_FROM:
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
