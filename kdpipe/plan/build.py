"""Build the graph of a config: expand the matrix, validate every node, resolve every reference.

All mistakes are collected and raised together; a mistake in a node of a matrix is told once, at its place
in the file. What depends on something with a mistake is checked as far as that goes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdpipe.config.document import Document, parse_document, read_config
from kdpipe.config.matrix import Matrix
from kdpipe.config.mistakes import Mistakes, SettingError
from kdpipe.errors import ConfigError, Problem
from kdpipe.plan.checks import check_graph, check_report
from kdpipe.plan.datasets import work_out_datasets
from kdpipe.plan.entries import UNKNOWN, Dataset, Facts, Node
from kdpipe.plan.expansion import check_defaults, expand_datasets, expand_models
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import Known, model_stages
from kdpipe.plan.overlaps import check_folders, check_inputs
from kdpipe.plan.references import order_datasets, order_nodes


def load_graph(paths: Sequence[Path]) -> Graph:
    """Read config files and build their graph.

    Raises:
        ConfigError: the config has mistakes; all of them.
    """
    return build_graph(read_config(paths), paths)


def build_graph(config: Mapping[str, Any], files: Sequence[Path] = ()) -> Graph:
    """Build the graph of a config that has been read and merged.

    Args:
        config: the config.
        files: the files that it was read from, which no artifact may overwrite.

    Raises:
        ConfigError: the config has mistakes, all of them; or a file that it names cannot be looked at.
    """
    try:
        return _build(config, files)
    except OSError as error:
        raise ConfigError([Problem(str(error.filename), f"cannot be read: {error.strerror}")]) from None


def _build(config: Mapping[str, Any], files: Sequence[Path]) -> Graph:
    mistakes = Mistakes()
    document = parse_document(config, mistakes)
    matrix = _read_matrix(document, mistakes)
    check_defaults(document, mistakes)
    all_datasets = expand_datasets(document, matrix, mistakes)
    all_nodes = expand_models(document, matrix, mistakes)
    check_report(document, all_nodes, matrix.variables, mistakes)

    ordered = order_datasets(all_datasets, matrix.variables, mistakes)
    datasets = work_out_datasets(ordered, document, mistakes)
    nodes = order_nodes(all_nodes, all_datasets, document, matrix.variables, mistakes)
    nodes = {name: node for name, node in nodes.items() if _has_datasets(node, datasets)}
    facts = _facts(nodes, Known(dict.fromkeys(all_nodes, UNKNOWN), datasets), document, mistakes)
    graph = Graph(document, nodes, datasets, facts)
    check_graph(graph, mistakes)
    check_inputs(graph, mistakes)
    check_folders(graph, files, mistakes)
    mistakes.stop()
    return graph


def _read_matrix(document: Document, mistakes: Mistakes) -> Matrix:
    try:
        return Matrix(document.matrix)
    except ConfigError as error:
        raise ConfigError([*mistakes.problems, *error.problems]) from None


def _has_datasets(node: Node, datasets: Mapping[str, Dataset]) -> bool:
    return all(name in datasets for _, kind, name in node.settings.references() if kind == "dataset")


def _facts(
    nodes: Mapping[str, Node], known: Known, document: Document, mistakes: Mistakes
) -> dict[str, Facts]:
    """Return what is known of each model before it exists; each node comes after its parents."""
    stages = model_stages()
    for name, node in nodes.items():
        try:
            known.facts[name] = stages[node.stage].facts(name, node.settings, known)
        except SettingError as error:
            where = document.place(node.template, node.stage, (error.setting,))
            mistakes.add(where, str(error), name)
    return known.facts
