"""The choice of assistants: the metric and the tradeoff of each trained size."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kdpipe.config.matrix import Matrix
from kdpipe.plan.graph import Graph
from kdpipe.reporting.figures import COLOURS, MUTED, add_legend, grid_of_axes, to_svg
from kdpipe.reporting.grouping import group_names
from kdpipe.reporting.plots import PANEL_SIZES, Plot

METRIC: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "markerfacecolor": "none"}
TRADEOFF: dict[str, Any] = {"color": COLOURS[1], "marker": "s", "markerfacecolor": "none"}
CHOSEN: dict[str, Any] = {"color": COLOURS[1], "marker": "s"}

# For each group: the target and the trained sizes of each run.
Panels = dict[str, list[tuple[float, pd.DataFrame]]]


def tradeoff_curves(graph: Graph) -> Iterator[Plot]:
    """Draw a figure for each template of assistants: a panel per group of runs, two lines per run.

    A run is left out if no size lies between teacher and target.
    """
    groups = group_names(graph.document.models, Matrix(graph.document.matrix), graph.document.report.over)
    figures: dict[str, Panels] = {}
    for name, group in groups.items():
        target = graph.stage_of(name).target(graph.nodes[name].settings)
        if target is not None:
            sizes = pq.read_table(graph.layout.model(name) / "candidates.parquet").to_pandas()
            if len(sizes):
                panels = figures.setdefault(graph.nodes[name].template, {})
                panels.setdefault(group, []).append((target, sizes.sort_values("sparsity")))
    for template, panels in figures.items():
        yield _figure(template, panels)


def _figure(template: str, panels: Panels) -> Plot:
    columns = min(len(panels), 3)
    with grid_of_axes(len(panels), columns, PANEL_SIZES[columns]) as (figure, axes):
        for axis, (group, runs) in zip(axes, panels.items(), strict=True):
            axis.set_title(group)
            axis.set_xlabel("sparsity")
            axis.set_ylabel(runs[0][1]["metric"].iloc[0].replace("_", " "))
            axis.xaxis.set_major_locator(MaxNLocator(6))
            for target, sizes in runs:
                axis.axvline(target, color=MUTED, linestyle=":", linewidth=1.0)
                _run(axis, sizes)
        add_legend(figure, {"metric": METRIC, "tradeoff": TRADEOFF, "chosen": CHOSEN})
        return Plot(template, to_svg(figure, salt=f"tradeoff of {template}"))


def _run(axis: Axes, sizes: pd.DataFrame) -> None:
    axis.plot(sizes["sparsity"], sizes["value"], **METRIC)
    axis.plot(sizes["sparsity"], sizes["tradeoff"], **TRADEOFF)
    chosen = sizes[sizes["chosen"]]
    axis.plot(chosen["sparsity"], chosen["tradeoff"], **CHOSEN, markersize=9, linestyle="")
