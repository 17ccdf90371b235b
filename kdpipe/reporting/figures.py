"""Matplotlib figures as SVG for the report, with the same bytes each time and the colours of the page."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from matplotlib.transforms import Bbox

# A reader can tell these colours apart, on white and on near-black.
COLOURS = ("#3b7dd8", "#e0731d", "#2a9d6f", "#c9455f", "#8a63d2", "#1899ad", "#a0703c", "#7d8590")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
# The style sheet of the page replaces these colours, so that figures follow a light or dark page.
INK, MUTED, GRID = "#010101", "#020202", "#030303"
PAGE_COLOURS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)"}

# In points of 1/72 inch: the size of a point's name and marker, and where the name may begin or end.
NAME_SIZE, MARK_SIZE = 7.5, 6
SHIFTS = [(side, row * 1.2 * NAME_SIZE) for row in (0, 1, -1, 2, -2) for side in (5, -5)]

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": GRID,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 8,
    "ytick.color": GRID,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 8,
}


@contextmanager
def grid_of_axes(count: int, columns: int, size: tuple[float, float]) -> Iterator[tuple[Figure, list[Axes]]]:
    """Yield a figure in the report's style and its axes, row by row.

    Args:
        count: number of axes.
        columns: largest number of axes in a row.
        size: width and height of the axes in inches.
    """
    rows = -(-count // columns)
    columns = -(-count // rows)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flat
        for unused in axes[count:]:
            unused.remove()
        yield figure, list(axes[:count])


def add_legend(figure: Figure, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Add a legend below the axes, and make the figure higher by the legend's height.

    Args:
        figure: the figure.
        looks: colour, and marker if it has one, of each series by its name.
    """
    if len(looks) < 2:
        return
    width, height = figure.get_size_inches()
    columns = max(1, int(width / (0.45 + 0.09 * max(map(len, looks)))))
    handles = [
        Line2D([], [], **{"linestyle": "" if "marker" in look else "-", **look}) for look in looks.values()
    ]
    figure.set_size_inches(width, height + 0.1 + 0.2 * -(-len(looks) // columns))
    figure.legend(handles, list(looks), loc="outside lower left", ncols=columns)


def name_points(axis: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> bool:
    """Write names beside points, and return whether there is room for all; if there is not, write none.

    A name stays in the axes, and covers no other name and no point.
    """
    axis.margins(x=0.18, y=0.12)
    axis.autoscale_view()
    taken = [_mark(axis, point) for point in points]
    shifts = []
    for point, name in zip(points, names, strict=True):
        places = {shift: _box(axis, point, name, shift) for shift in SHIFTS}
        free = [shift for shift, box in places.items() if _is_free(axis, box, taken)]
        if not free:
            return False
        taken.append(places[free[0]])
        shifts.append(free[0])
    look: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": NAME_SIZE}
    for point, name, shift in zip(points, names, shifts, strict=True):
        axis.annotate(name, point, shift, ha="left" if shift[0] > 0 else "right", **look)
    return True


def _is_free(axis: Axes, box: Bbox, taken: Sequence[Bbox]) -> bool:
    inside = all(axis.bbox.contains(*corner) for corner in (box.min, box.max))
    return inside and not any(map(box.overlaps, taken))


def _mark(axis: Axes, point: tuple[float, float]) -> Bbox:
    """Return about the rectangle in pixels of a point's marker."""
    x, y = axis.transData.transform(point)
    size = MARK_SIZE * axis.figure.dpi / 72
    return Bbox.from_bounds(x - size / 2, y - size / 2, size, size)


def _box(axis: Axes, point: tuple[float, float], name: str, shift: tuple[float, float]) -> Bbox:
    """Return about the rectangle in pixels of a name that is shifted from its point by points."""
    pixels = axis.figure.dpi / 72
    x, y = axis.transData.transform(point) + pixels * np.array(shift)
    width, height = pixels * NAME_SIZE * 0.62 * len(name), pixels * NAME_SIZE * 1.1
    return Bbox.from_bounds(x - (0 if shift[0] > 0 else width), y - height / 2, width, height)


def look_of(index: int) -> dict[str, Any]:
    """Return colour and marker of the n-th series; the pairs repeat only after 64 series."""
    colour = COLOURS[index % len(COLOURS)]
    marker = MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]
    # Hollow markers show points that coincide.
    return {"color": colour, "marker": marker, "markerfacecolor": "none", "markeredgewidth": 1.5}


def use_log_scale(axis: Axes, direction: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with ticks at 1, 2 and 5."""
    scaled = axis.xaxis if direction == "x" else axis.yaxis
    axis.set(**{f"{direction}scale": "log"})
    scaled.set_major_locator(LogLocator(subs=(1, 2, 5)))
    scaled.set_minor_locator(NullLocator())
    scaled.set_major_formatter(StrMethodFormatter("{x:g}"))


def to_svg(figure: Figure, salt: str) -> str:
    """Return a figure as an SVG element.

    Args:
        figure: the figure; call this in the context that made it.
        salt: text that makes its ids differ from the ids of other figures of the page.
    """
    stream = StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        # `Figure.savefig` would draw everything twice, the first time for the layout.
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(stream, metadata=metadata)  # type: ignore[no-untyped-call]
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    # Nothing refers to the ids of groups, and they would occur twice in a page of several figures.
    svg = re.sub(r'<g id="[^"]*"', "<g", re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg))
    for colour, variable in PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    return re.sub(r"\s*\n\s*", "\n", svg)
