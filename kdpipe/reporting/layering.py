"""Lay a directed graph out in layers from left to right.

A node stands in the layer after the last of its sources. An edge that skips layers has a lane in each of
these layers; all edges of a kind from a node share a lane. The items of a layer are ordered so that few edges
cross, then moved so that edges run level.

Reference:
    Sugiyama, Tagawa and Toda 1981, Methods for visual understanding of hierarchical system structures.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import fmean
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

COLUMN_GAP = 64.0
ROW_GAP = 9.0
NODE_MARGIN = 10.0
LANE_HEIGHT = 1.0
SWEEPS = 12

# A kind and a name: a dataset and a model may share their name.
Vertex = tuple[str, str]
Edge = tuple[Vertex, Vertex]
# A node, or the lane of the edges of a kind from a node through a layer.
Item = tuple[Any, ...]
Point = tuple[float, float]
Neighbours = dict[Item, list[Item]]
# A layer, and the neighbours of its items.
Visit = tuple[list[Item], Neighbours]


@dataclass(frozen=True)
class Arrangement:
    """The centres of nodes, the routes of edges, and the size of the drawing.

    A route has two points per layer, where the edge enters and leaves the layer's column. The first and the
    last point lie on the sides of its nodes.
    """

    centres: Mapping[Vertex, Point]
    routes: Mapping[Edge, Sequence[Point]]
    width: float
    height: float


def arrange(sizes: Mapping[Vertex, tuple[float, float]], edges: Mapping[Edge, str]) -> Arrangement:
    """Lay a graph out, from the width and height of each node and the kind of each (source, target).

    Every node comes after its sources.
    """
    layer_of = _assign_layers(list(sizes), list(edges))
    chains = {edge: _chain(edge, kind, layer_of) for edge, kind in edges.items()}
    links = list(dict.fromkeys(link for path in chains.values() for link in pairwise(path)))
    layers = _fill_layers(layer_of, chains)
    heights = {
        item: sizes[item][1] + NODE_MARGIN if item in sizes else LANE_HEIGHT
        for layer in layers
        for item in layer
    }
    _reduce_crossings(layers, links)
    middles = _level(layers, links, heights)
    columns = _columns(layers, sizes)
    centres = {node: (fmean(columns[at]), middles[node]) for node, at in layer_of.items()}
    routes = {}
    for edge, path in chains.items():
        crossed = columns[layer_of[edge[0]] : layer_of[edge[1]] + 1]
        points = [(x, middles[item]) for item, column in zip(path, crossed, strict=True) for x in column]
        start, end = (
            centres[node][0] + side * sizes[node][0] / 2 for node, side in zip(edge, (1, -1), strict=True)
        )
        routes[edge] = [(start, points[0][1]), *points[1:-1], (end, points[-1][1])]
    height = max(middles[item] + heights[item] / 2 for item in heights)
    return Arrangement(centres, routes, columns[-1][1], height)


def _assign_layers(nodes: Sequence[Vertex], edges: Sequence[Edge]) -> dict[Vertex, int]:
    layer_of: dict[Vertex, int] = {}
    before, after = _neighbours(edges)
    for node in nodes:
        layer_of[node] = max((layer_of[source] + 1 for source in before.get(node, ())), default=0)
    for node in nodes:
        if node in after and node not in before:
            # A node without sources stands in the layer before its first use.
            layer_of[node] = min(layer_of[target] for target in after[node]) - 1
    return layer_of


def _chain(edge: Edge, kind: str, layer_of: Mapping[Vertex, int]) -> list[Item]:
    source, target = edge
    return [source, *((source, kind, at) for at in range(layer_of[source] + 1, layer_of[target])), target]


def _fill_layers(layer_of: Mapping[Vertex, int], chains: Mapping[Edge, Sequence[Item]]) -> list[list[Item]]:
    layers: list[dict[Item, None]] = [{} for _ in range(max(layer_of.values()) + 1)]
    for node, at in layer_of.items():
        layers[at][node] = None
    for (source, _), path in chains.items():
        for at, lane in enumerate(path[1:-1], layer_of[source] + 1):
            layers[at][lane] = None
    return [list(layer) for layer in layers]


def _neighbours(links: Sequence[tuple[Item, Item]]) -> tuple[Neighbours, Neighbours]:
    """Return the sources of each item, and its targets."""
    before, after = defaultdict(list), defaultdict(list)
    for source, target in links:
        before[target].append(source)
        after[source].append(target)
    return dict(before), dict(after)


def _sweeps(layers: list[list[Item]], links: Sequence[tuple[Item, Item]]) -> Iterator[list[Visit]]:
    """Yield for each sweep its layers, to and fro, each with the neighbours in the layer before it."""
    before, after = _neighbours(links)
    for _ in range(SWEEPS // 2):
        yield [(layer, before) for layer in layers]
        yield [(layer, after) for layer in reversed(layers)]


def _reduce_crossings(layers: list[list[Item]], links: Sequence[tuple[Item, Item]]) -> None:
    """Sort each layer by the mean place of its neighbours, in sweeps; keep the order that crosses least."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers, links)
    for sweep in _sweeps(layers, links):
        for layer, neighbours in sweep:
            place = _places(layers)
            means = {item: fmean(place[x] for x in neighbours.get(item, [item])) for item in layer}
            layer.sort(key=means.__getitem__)
        crossings = _crossings(layers, links)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    layers[:] = best


def _places(layers: Sequence[Sequence[Item]]) -> dict[Item, float]:
    return {item: (index + 0.5) / len(layer) for layer in layers for index, item in enumerate(layer)}


def _crossings(layers: Sequence[Sequence[Item]], links: Sequence[tuple[Item, Item]]) -> int:
    place = _places(layers)
    after = _neighbours(links)[1]
    return sum(
        (place[first] - place[second]) * (place[first_target] - place[second_target]) < 0
        for layer in layers
        for first, second in combinations([item for item in layer if item in after], 2)
        for first_target in after[first]
        for second_target in after[second]
    )


def _level(
    layers: list[list[Item]], links: Sequence[tuple[Item, Item]], heights: Mapping[Item, float]
) -> dict[Item, float]:
    """Return the y of each item: near the mean of its neighbours, in the order of its layer."""
    middles: dict[Item, float] = {}
    for layer in layers:
        middles |= _spaced([0.0] * len(layer), layer, heights)
    for sweep in _sweeps(layers, links):
        for layer, neighbours in sweep:
            means = [fmean(middles[x] for x in neighbours.get(item, [item])) for item in layer]
            middles |= _spaced(means, layer, heights)
    top = min(middles[item] - heights[item] / 2 for item in middles)
    return {item: middle - top for item, middle in middles.items()}


def _spaced(
    targets: Sequence[float], layer: Sequence[Item], heights: Mapping[Item, float]
) -> dict[Item, float]:
    """Return the places nearest to the targets, in least squares, that keep the items of a layer apart.

    Minus the room of the items above it, each place may equal the place above it, but not be less.
    """
    room = [0.0]
    for above, below in pairwise(layer):
        room.append(room[-1] + (heights[above] + heights[below]) / 2 + ROW_GAP)
    places = isotonic_regression(np.subtract(targets, room)).x + room
    return dict(zip(layer, places.tolist(), strict=True))


def _columns(
    layers: Sequence[Sequence[Item]], sizes: Mapping[Vertex, tuple[float, float]]
) -> list[tuple[float, float]]:
    """Return the left and right edge of each layer."""
    columns: list[tuple[float, float]] = []
    for layer in layers:
        left = columns[-1][1] + COLUMN_GAP if columns else 0.0
        columns.append((left, left + max(sizes[item][0] for item in layer if item in sizes)))
    return columns
