"""Build the graph of a config: expand the matrix, validate every node, resolve every reference.

All mistakes are collected and raised together; a mistake in a node of a matrix is told once, at its place
in the file. What depends on something with a mistake is checked as far as that goes.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdpipe.config.document import Document, parse_document, read_config
from kdpipe.config.matrix import Matrix
from kdpipe.config.mistakes import Mistakes, SettingError
from kdpipe.config.settings.base import AFTERWARDS
from kdpipe.errors import ConfigError, Problem
from kdpipe.plan.checks import check_graph, check_report
from kdpipe.plan.datasets import work_out_datasets
from kdpipe.plan.entries import UNKNOWN, Dataset, Node
from kdpipe.plan.expansion import check_defaults, expand_datasets, expand_measured, expand_models
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import Known, model_stages
from kdpipe.plan.overlaps import check_folders, check_inputs
from kdpipe.plan.references import check_measured, makers_of, order_datasets, order_nodes


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
    all_measured = expand_measured(document, matrix, mistakes)
    check_measured(all_measured, all_nodes, matrix.variables, mistakes)

    datasets = order_datasets(all_datasets, all_nodes, matrix.variables, mistakes)
    makers = makers_of(datasets)
    nodes = order_nodes(all_nodes, all_datasets, makers, document, matrix.variables, mistakes)
    known = Known(dict.fromkeys(all_nodes, UNKNOWN), {})
    nodes = _work_out(nodes, datasets, makers, known, document, mistakes)
    datasets = {name: known.datasets[name] for name in datasets if name in known.datasets}
    measured = tuple(name for name in all_measured if name in nodes)
    graph = Graph(document, nodes, datasets, known.facts, measured)
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


def _work_out(
    nodes: Mapping[str, Node],
    datasets: Mapping[str, Dataset],
    makers: Mapping[str, Sequence[str]],
    known: Known,
    document: Document,
    mistakes: Mistakes,
) -> dict[str, Node]:
    """Add to what is known the facts of models and the datasets, and return the models with datasets.

    Each model comes after its parents and its datasets; each dataset follows the last of its makers.
    """
    order = {name: place for place, name in enumerate(nodes)}
    after: dict[str, list[Dataset]] = {}
    for name, dataset in datasets.items():
        if all(maker in order for maker in makers[name]):
            after.setdefault(max(makers[name], key=order.__getitem__, default=""), []).append(dataset)
    work_out_datasets(after.get("", ()), known, document, mistakes)
    whole = {}
    for name, node in nodes.items():
        if _has_datasets(node, known, apart=AFTERWARDS):
            whole[name] = node
            _add_facts(node, known, document, mistakes)
        work_out_datasets(after.get(name, ()), known, document, mistakes)
    # The datasets that score a model may be made by this model, or by later models.
    return {name: node for name, node in whole.items() if _has_datasets(node, known)}


def _has_datasets(node: Node, known: Known, apart: Collection[str] = ()) -> bool:
    """Tell whether all datasets that a node names are known, apart from some settings."""
    references = node.settings.references()
    named = (name for setting, kind, name in references if kind == "dataset" and setting not in apart)
    return all(name in known.datasets for name in named)


def _add_facts(node: Node, known: Known, document: Document, mistakes: Mistakes) -> None:
    """Add what is known of a model before it exists; its parents come before it."""
    try:
        known.facts[node.name] = model_stages()[node.stage].facts(node.name, node.settings, known)
    except SettingError as error:
        where = document.place(node.template, node.stage, (error.setting,))
        mistakes.add(where, str(error), node.name)
