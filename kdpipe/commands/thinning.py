"""The part of a graph with a node of every template and as few values of the matrix as possible."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from kdpipe import catalog
from kdpipe.config.matrix import Matrix
from kdpipe.config.settings.choice import CONSTRAINTS
from kdpipe.errors import ConfigError, KdpipeError, Problem, suggest
from kdpipe.plan.build import build_graph
from kdpipe.plan.entries import Dataset, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.stage import definition

Block = Mapping[str, Any]
# Settings that may be lists, each with the setting that only several of its names allow.
FOR_SEVERAL = {"teacher": "ensemble", "dataset": "sampling"}
Entry = TypeVar("Entry", Node, Dataset)


def thinned_graph(config: Mapping[str, Any], values: Mapping[str, str]) -> Graph:
    """Return the graph of a config with one choice from each block of the matrix that is needed.

    A variable has one value in all blocks if it can. Where a template has several entries, each entry becomes
    a template of its own. The graph has no report, no measurements, and nothing that no node reads.

    Args:
        config: a config without mistakes.
        values: values of variables; by default the first of the values that most blocks have.

    Raises:
        ConfigError: there is no such variable or value, or no block has all of the values.
        KdpipeError: a node or a dataset needs other values.
    """
    matrix = _thinned(config.get("matrix"), values)
    return _used(_each_alone(_graph_of(config, matrix)))


def _thinned(matrix: Any, values: Mapping[str, str]) -> Any:
    blocks: list[Block] = matrix if isinstance(matrix, list) else [matrix or {}]
    _check_values(blocks, values)
    needed = _needed(blocks, values)
    thinned = [
        {variable: _first(_ranked(needed, variable, values), choices) for variable, choices in block.items()}
        for block in needed
    ]
    return thinned[0] if len(thinned) == 1 else thinned


def _check_values(blocks: Sequence[Block], values: Mapping[str, str]) -> None:
    known: dict[str, list[str]] = {}
    for block in blocks:
        for variable, choices in block.items():
            known.setdefault(variable, []).extend(map(str, choices))
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
        what = f"no block has {wanted} together; leave one of them out, or take values of one block"
        raise ConfigError([Problem("matrix", what)])


def _agrees(block: Block, values: Mapping[str, str]) -> bool:
    return all(wanted in map(str, block.get(variable, [wanted])) for variable, wanted in values.items())


def _needed(blocks: Sequence[Block], values: Mapping[str, str]) -> list[Block]:
    """Return the blocks that together have the variables of every name, blocks with wanted values first."""
    needed: list[Block] = []
    for block in sorted(blocks, key=lambda block: (not _agrees(block, values), -len(block))):
        if not any(block.keys() <= other.keys() for other in needed):
            needed.append(block)
    return needed


def _ranked(blocks: Sequence[Block], variable: str, values: Mapping[str, str]) -> list[Any]:
    """Return the values of a variable: the wanted value, then the others by their number of blocks."""
    choices = [value for block in blocks for value in block.get(variable, ())]
    wanted = values.get(variable)
    return sorted(dict.fromkeys(choices), key=lambda value: (str(value) != wanted, -choices.count(value)))


def _first(ranked: Sequence[Any], choices: Any) -> Any:
    first = next(value for value in ranked if value in choices)
    return {first: choices[first]} if isinstance(choices, Mapping) else [first]


def _graph_of(config: Mapping[str, Any], matrix: Any) -> Graph:
    """Return the graph of a config without mistakes for a part of its matrix.

    Raises:
        KdpipeError: the graph needs another part.
    """
    try:
        # The report and the measurements may name models that this part leaves out.
        left_out: Block = {"report": {}, "measure": None}
        return build_graph({**config, "models": _models(config), "matrix": matrix, **left_out})
    except ConfigError as error:
        blocks = matrix if isinstance(matrix, list) else [matrix]
        part = (f"{name}={value}" for block in blocks for name in block for value in block[name])
        raise KdpipeError(
            f"{error}\nthe whole matrix has no such mistake, but the small graph has only "
            f"{', '.join(dict.fromkeys(part))}; `--value VARIABLE=VALUE` chooses another value"
        ) from None


def _models(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the models, without what is for several teachers or datasets where one of these may be left.

    Without constraints on a choice, too: random models keep none, and the graph measures none.
    """
    models = dict(config.get("models") or {})
    for template, entry in models.items():
        ((stage, settings),) = dict(entry).items()
        lists = {name: settings.get(name) for name in FOR_SEVERAL}
        alone = [name for name, names in lists.items() if isinstance(names, list) and "{" in "".join(names)]
        # The defaults of the stage may have them, too.
        known = definition(stage).settings.model_fields if stage in catalog.STAGES else {}
        left_out = [*(FOR_SEVERAL[name] for name in alone), *(name for name in CONSTRAINTS if name in known)]
        models[template] = {stage: {**settings, **dict.fromkeys(left_out)}}
    return models


def _each_alone(graph: Graph) -> Graph:
    """Return a graph where each of several models or datasets of one template is a template of its own."""
    matrix = Matrix(graph.document.matrix)

    def alone(entries: Mapping[str, Entry]) -> dict[str, Entry]:
        return {
            name: entry
            if len(matrix.expand(entry.template)) == 1
            else replace(entry, template=name, variables={})
            for name, entry in entries.items()
        }

    return replace(graph, nodes=alone(graph.nodes), datasets=alone(graph.datasets))


def _used(graph: Graph) -> Graph:
    """Return a graph without the loaded models and the datasets that nothing reads."""
    read = {(kind, name) for node in graph.nodes.values() for _, kind, name in node.settings.references()} | {
        ("dataset", dataset) for _, dataset, _ in graph.importances
    }
    for name in reversed(list(graph.datasets)):
        if ("dataset", name) in read:
            read |= {(kind, used) for _, kind, used in graph.datasets[name].settings.references()}
    nodes = {
        name: node
        for name, node in graph.nodes.items()
        if not graph.stage_of(name).exists
        or ("model", name) in read
        or node.settings.evaluate
        or node.settings.submit
        or node.settings.export
    }
    datasets = {name: dataset for name, dataset in graph.datasets.items() if ("dataset", name) in read}
    return replace(graph, nodes=nodes, datasets=datasets)
