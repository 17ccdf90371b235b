"""A small config, and artifacts of one."""

from tests.configs import _no_data, changed, config, graph_of, mistakes_of, told_fixture
from tests.made import graph, graph_with

__all__ = ["_no_data", "changed", "config", "graph", "graph_of", "graph_with", "mistakes_of", "told_fixture"]
