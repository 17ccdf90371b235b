"""`report`: what the report compares, and against what."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from kdpipe.config.paths import LocalPath
from kdpipe.config.settings.base import Settings
from kdpipe.places import shipped_file

# The columns of the results that a plot may name, besides matrix variables.
AXES = ("parameters", "depth", "width", "seconds", "model", "template", "stage", "dataset", "split")


class PlotSettings(Settings):
    """A plot of the results table.

    Args:
        x: column of the horizontal axis, such as `parameters` or a matrix variable.
        y: metric of the vertical axis.
        by: column that groups points into lines.
    """

    x: str
    y: str
    by: str | None = None


class ReportSettings(Settings):
    """The report of a config.

    Args:
        title: its heading.
        baseline: node, or pattern of nodes, that the others are compared with.
        over: matrix variables whose values are averaged.
        statistic: whether scores and differences are averaged by their `mean` or by their `median`.
        published: CSV of published values with the columns model, dataset, metric, value, and maybe split
            and paper; values that no model of the config has are shown as they are.
        plots: further plots.
    """

    title: str = "kdpipe"
    baseline: str | None = None
    over: tuple[str, ...] = ("seed",)
    statistic: Literal["mean", "median"] = "mean"
    published: LocalPath | None = None
    plots: tuple[PlotSettings, ...] = Field(default=())

    @property
    def published_file(self) -> Path | None:
        """The file of published values; the setting stays as it is, wherever kdpipe is installed."""
        return None if self.published is None else shipped_file(self.published)
