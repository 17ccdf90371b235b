"""The part of a graph that as few values of its matrix as possible leave, with a node of every template."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from kdpipe.config.matrix import Matrix
from kdpipe.config.settings.dataset import CombineSettings
from kdpipe.errors import ConfigError, KdpipeError, Problem, suggest
from kdpipe.plan.build import build_graph
from kdpipe.plan.entries import Dataset, Node
from kdpipe.plan.graph import Graph

Block = Mapping[str, Any]
Entry = TypeVar("Entry", Node, Dataset)


def thinned_graph(config: Mapping[str, Any], values: Mapping[str, str]) -> Graph:
    """Return a config's graph with one choice of each block of the matrix that is needed.

    A variable has one value in all of them where it can be. Of several entries of one template each goes by
    its name alone. The report is left out, and so is what nothing reads.

    Args:
        config: a config without mistakes.
        values: the value that a variable keeps, by default the first of those that most blocks have.

    Raises:
        ConfigError: there is no such variable or value, or no block has those wanted together.
        KdpipeError: something needs values that are not kept.
    """
    matrix = _thinned(config.get("matrix"), values)
    return _used(_each_alone(_graph_of(config, matrix)))


def _thinned(matrix: Any, values: Mapping[str, str]) -> Any:
    blocks: list[Block] = matrix if isinstance(matrix, list) else [matrix or {}]
    _check_values(blocks, values)
    needed = _needed(blocks, values)
    thinned = [
        {variable: _first(_ranked(needed, variable, values), given) for variable, given in block.items()}
        for block in needed
    ]
    return thinned[0] if len(thinned) == 1 else thinned


def _check_values(blocks: Sequence[Block], values: Mapping[str, str]) -> None:
    known: dict[str, list[str]] = {}
    for block in blocks:
        for variable, given in block.items():
            known.setdefault(variable, []).extend(map(str, given))
    for variable, wanted in values.items():
        if variable not in known:
            what = f"there is no variable {variable!r}; {suggest(variable, known)}"
            raise ConfigError([Problem("matrix", what)])
        if wanted not in known[variable]:
            what = f"there is no value {wanted!r}; {suggest(wanted, known[variable])}"
            raise ConfigError([Problem(f"matrix.{variable}", what)])
    agreeing = [block for block in blocks if _agrees(block, values)]
    if any(not any(variable in block for block in agreeing) for variable in values):
        wanted = " and ".join(f"{variable}={value}" for variable, value in values.items())
        what = f"no block has {wanted} together; leave one of them out, or take a value that stands beside it"
        raise ConfigError([Problem("matrix", what)])


def _agrees(block: Block, values: Mapping[str, str]) -> bool:
    return all(wanted in map(str, block.get(variable, [wanted])) for variable, wanted in values.items())


def _needed(blocks: Sequence[Block], values: Mapping[str, str]) -> list[Block]:
    """Return the blocks that together have the variables of every name, those with wanted values first."""
    needed: list[Block] = []
    for block in sorted(blocks, key=lambda block: (not _agrees(block, values), -len(block))):
        if not any(block.keys() <= other.keys() for other in needed):
            needed.append(block)
    return needed


def _ranked(blocks: Sequence[Block], variable: str, values: Mapping[str, str]) -> list[Any]:
    """Return a variable's values: first the wanted one, then those that most blocks have."""
    found = [value for block in blocks for value in block.get(variable, ())]
    wanted = values.get(variable)
    return sorted(dict.fromkeys(found), key=lambda value: (str(value) != wanted, -found.count(value)))


def _first(ranked: Sequence[Any], given: Any) -> Any:
    kept = next(value for value in ranked if value in given)
    return {kept: given[kept]} if isinstance(given, Mapping) else [kept]


def _graph_of(config: Mapping[str, Any], matrix: Any) -> Graph:
    """Return the graph of a config without mistakes, with the part of its matrix that is kept.

    Raises:
        KdpipeError: it needs more than that.
    """
    try:
        # What the report names may be left out.
        return build_graph({**config, "matrix": matrix, "report": {}})
    except ConfigError as error:
        blocks = matrix if isinstance(matrix, list) else [matrix]
        kept = (f"{name}={value}" for block in blocks for name in block for value in block[name])
        raise KdpipeError(
            f"{error}\nwith the whole matrix this is no mistake, but kept of it is only "
            f"{', '.join(dict.fromkeys(kept))}; `--value VARIABLE=VALUE` keeps another value"
        ) from None


def _each_alone(graph: Graph) -> Graph:
    """Return a graph where those of several models or datasets of one template go by their names alone."""
    matrix = Matrix(graph.document.matrix)

    def alone(entry: Entry) -> Entry:
        one = len(matrix.expand(entry.template)) == 1
        return entry if one else replace(entry, template=entry.name, variables={})

    nodes = {name: alone(node) for name, node in graph.nodes.items()}
    return replace(graph, nodes=nodes, datasets={name: alone(data) for name, data in graph.datasets.items()})


def _used(graph: Graph) -> Graph:
    """Return a graph without the loaded models and the datasets that nothing reads."""
    read = {(kind, name) for node in graph.nodes.values() for _, kind, name in node.settings.references()} | {
        ("dataset", dataset) for _, dataset, _ in graph.importances
    }
    for name in reversed(list(graph.datasets)):
        settings = graph.datasets[name].settings
        if isinstance(settings, CombineSettings) and ("dataset", name) in read:
            read |= {("dataset", part) for part in settings.combine}
    nodes = {
        name: node
        for name, node in graph.nodes.items()
        if not graph.stage_of(name).exists
        or ("model", name) in read
        or node.settings.evaluate
        or node.settings.export
    }
    datasets = {name: dataset for name, dataset in graph.datasets.items() if ("dataset", name) in read}
    return replace(graph, nodes=nodes, datasets=datasets)
