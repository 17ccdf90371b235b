"""Artifacts of a small config."""

from tests.made import graph, graph_with

__all__ = ["graph", "graph_with"]
