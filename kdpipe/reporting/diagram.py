"""The graph of a config as a drawing: its templates, and the arrows to the templates made from them."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from kdpipe.config.settings.base import AFTERWARDS
from kdpipe.plan.entries import Dataset, Node
from kdpipe.plan.graph import Graph
from kdpipe.reporting.layering import Arrangement, Edge, Point, Vertex, arrange

# Kinds of edges by the settings that name their sources; all other settings name a model to start from.
ARROWS = {"teacher": "teacher", "among": "candidate", "dataset": "data"}
START = "start"
CHARACTER = 7.3
LINE = 16.0
PADDING = 12.0
LONGEST_LINE = 22


class Box(NamedTuple):
    """A dataset or a model template: its name in lines, a note with stage or task, and its rectangle."""

    kind: str
    lines: tuple[str, ...]
    note: str
    x: float
    y: float
    width: float
    height: float


class Line(NamedTuple):
    """A piece of an edge, which several edges may share: the kind of the edge, and SVG path data."""

    kind: str
    path: str


class Tip(NamedTuple):
    """The end of an edge: the kind of the edge, a point, and 1 for a tip to the right or -1 to the left."""

    kind: str
    x: float
    y: float
    heading: int


@dataclass(frozen=True)
class Diagram:
    """A drawing: its nodes, its edges in pieces without repetition, the ends of its edges, and its size."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    tips: tuple[Tip, ...]
    width: float
    height: float

    @property
    def kinds(self) -> list[str]:
        """The kinds of edges that occur."""
        drawn = {tip.kind for tip in self.tips}
        return [kind for kind in (START, *dict.fromkeys(ARROWS.values())) if kind in drawn]


def draw_graph(graph: Graph) -> Diagram:
    """Lay the templates of a graph out, and route the arrows between them."""
    kinds = dict(_edges(graph))
    notes = _notes(graph, kinds)
    sizes = {part: _size(part, note) for part, note in notes.items()}
    # A chain of templates may lead back to its first template; the last edge then runs against the layers.
    order = {part: index for index, part in enumerate(sizes)}
    ways = {edge: edge if order[edge[0]] < order[edge[1]] else edge[::-1] for edge in kinds}
    plan = arrange(sizes, {way: kinds[edge] for edge, way in ways.items()})
    routes = _with_ports(plan, sizes)
    lines = [Line(kinds[edge], path) for edge, way in ways.items() for path in _pieces(routes[way])]
    ends = {edge: routes[way][-1 if way == edge else 0] for edge, way in ways.items()}
    tips = [Tip(kinds[edge], *end, 1 if ways[edge] == edge else -1) for edge, end in ends.items()]
    boxes = [_box(part, note, plan.centres[part], sizes[part]) for part, note in notes.items()]
    return Diagram(tuple(boxes), tuple(dict.fromkeys(lines)), tuple(tips), plan.width, plan.height)


def _edges(graph: Graph) -> Iterator[tuple[Edge, str]]:
    """Yield ((source, target), kind) of each edge; no edge leads to datasets that no model is made with."""
    templates: dict[str, Mapping[str, Dataset | Node]] = {"dataset": graph.datasets, "model": graph.nodes}

    def edges_to(target: Vertex, entry: Dataset | Node) -> Iterator[tuple[Edge, str]]:
        for setting, kind, name in entry.settings.references():
            source = (kind, templates[kind][name].template)
            if setting not in AFTERWARDS and source != target:
                yield (source, target), ARROWS.get(setting, START)

    edges = [edge for node in graph.nodes.values() for edge in edges_to(("model", node.template), node)]
    read = {source for (source, _), _ in edges}
    for dataset in reversed([*graph.datasets.values()]):
        if (target := ("dataset", dataset.template)) in read:
            made = [(edge, ARROWS["dataset"]) for edge, _ in edges_to(target, dataset)]
            read |= {source for (source, _), _ in made}
            edges = [*made, *edges]
    yield from edges


def _notes(graph: Graph, edges: Collection[Edge]) -> dict[Vertex, str]:
    """Return the note of each part: datasets before models, and each part after its sources."""
    sources: dict[Vertex, list[Vertex]] = {}
    for source, target in edges:
        sources.setdefault(target, []).append(source)
    used = {source for source, _ in edges}
    tasks: dict[Vertex, dict[str, None]] = {}
    for dataset in graph.datasets.values():
        tasks.setdefault(("dataset", dataset.template), {})[dataset.task.replace("_", " ")] = None
    datasets = [
        (part, ", ".join(tasks[part]))
        for part in (("dataset", dataset.template) for dataset in graph.datasets.values())
    ]
    plain = [(part, task) for part, task in datasets if part in used and part not in sources]
    parts = [*plain, *((("model", node.template), node.stage) for node in graph.nodes.values())]
    first = len(plain)
    for part, task in datasets:
        if part in used and part in sources:
            # A dataset stands after the models that make it, and otherwise before all models.
            places = [place for place, (other, _) in enumerate(parts, start=1) if other in sources[part]]
            parts.insert(max(first, *places), (part, task))
            first += 1
    counts = Counter(part for part, _ in parts)
    return {
        part: f"{note} \N{MULTIPLICATION SIGN} {counts[part]}" if counts[part] > 1 else note
        for part, note in parts
    }


def _lines(name: str) -> list[str]:
    """Break a long name into lines, after hyphens, dots and underscores."""
    lines = [""]
    for piece in re.findall(r"[^-._]*[-._]?", name):
        if lines[-1] and len(lines[-1] + piece) > LONGEST_LINE:
            lines.append("")
        lines[-1] += piece
    return lines


def _size(part: Vertex, note: str) -> tuple[float, float]:
    lines = _lines(part[1])
    longest = max(len(text) for text in (*lines, note))
    return longest * CHARACTER + 2 * PADDING, (len(lines) + 1) * LINE + PADDING


def _box(part: Vertex, note: str, centre: Point, size: tuple[float, float]) -> Box:
    (x, y), (width, height) = centre, size
    return Box(part[0], tuple(_lines(part[1])), note, x - width / 2, y - height / 2, width, height)


def _with_ports(plan: Arrangement, sizes: Mapping[Vertex, tuple[float, float]]) -> dict[Edge, list[Point]]:
    """Spread the ends of the routes over the sides of their boxes, in the order of their next points.

    Routes that share their first lane leave their box at the same point.
    """
    routes = {edge: list(route) for edge, route in plan.routes.items()}
    for end, ends, beyond in ((0, (0, 1), 2), (-1, (-1, -2), -3)):
        for part, (_, height) in sizes.items():
            points = {edge: route[beyond] for edge, route in plan.routes.items() if edge[end] == part}
            places = sorted(set(points.values()), key=lambda point: point[1])
            for edge, place in points.items():
                share = (places.index(place) + 1) / (len(places) + 1)
                for index in ends:
                    x, y = routes[edge][index]
                    routes[edge][index] = (x, y + height * (share - 0.5))
    return routes


def _pieces(route: Sequence[Point]) -> Iterator[str]:
    """Draw a straight line across each column, and a curve from each column to the next."""
    for index, ((x, y), (next_x, next_y)) in enumerate(pairwise(route)):
        middle = (x + next_x) / 2
        curve = f"C{middle:.1f} {y:.1f} {middle:.1f} {next_y:.1f} {next_x:.1f} {next_y:.1f}"
        if index % 2 or next_x - x > 0.1:
            yield f"M{x:.1f} {y:.1f}" + (curve if index % 2 else f"H{next_x:.1f}")
