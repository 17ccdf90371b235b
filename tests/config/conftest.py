"""A small config, and what a check says of it."""

from tests.configs import _no_data, changed, config, graph_of, mistakes_of, told_fixture

__all__ = ["_no_data", "changed", "config", "graph_of", "mistakes_of", "told_fixture"]
