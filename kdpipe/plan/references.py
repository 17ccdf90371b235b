"""References between the entries of a config: that they lead somewhere, and not in a circle."""

import re
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import chain, pairwise
from types import MappingProxyType
from typing import TypeVar

from kdpipe.config.document import Document
from kdpipe.config.matrix import undeclared
from kdpipe.config.mistakes import Mistakes, Where
from kdpipe.config.settings.base import AFTERWARDS
from kdpipe.errors import suggest
from kdpipe.plan.entries import Dataset, Node

Entry = TypeVar("Entry", Node, Dataset)


def order_datasets(
    datasets: Mapping[str, Dataset | None],
    nodes: Mapping[str, Node | None],
    variables: Sequence[str],
    mistakes: Mistakes,
) -> dict[str, Dataset]:
    """Return the datasets that have no mistake, each after the datasets that it is made of."""
    names = _names(nodes, datasets, variables)
    parts, lost = {}, set()
    for dataset in filter(None, datasets.values()):
        references = list(dataset.settings.references())
        parts[dataset.name] = [name for _, kind, name in references if kind == "dataset"]
        for field, kind, name in references:
            if name not in names[kind]:
                lost.add(dataset.name)
                names[kind].tell(name, ("datasets", dataset.template, field), dataset.name, mistakes)
    return _in_order("datasets", datasets, parts, lost, mistakes)


def makers_of(datasets: Mapping[str, Dataset]) -> dict[str, tuple[str, ...]]:
    """Return the models that make each dataset, or the datasets that it is made of, which come before it."""
    makers: dict[str, tuple[str, ...]] = {}
    for name, dataset in datasets.items():
        references = dataset.settings.references()
        found = [(used,) if kind == "model" else makers.get(used, ()) for _, kind, used in references]
        makers[name] = tuple(dict.fromkeys(chain.from_iterable(found)))
    return makers


def order_nodes(
    nodes: Mapping[str, Node | None],
    datasets: Mapping[str, Dataset | None],
    makers: Mapping[str, Sequence[str]],
    document: Document,
    variables: Sequence[str],
    mistakes: Mistakes,
) -> dict[str, Node]:
    """Return the models that have no mistake, each after the models that it and its datasets are made from.

    Args:
        nodes: the models.
        datasets: the datasets.
        makers: the models that make each dataset.
        document: the config.
        variables: the variables of the matrix.
        mistakes: takes the mistakes.
    """
    names = _names(nodes, datasets, variables)
    parents: dict[str, list[str]] = {}
    through: dict[tuple[str, str], str] = {}
    lost = set()
    for node in filter(None, nodes.values()):
        references = list(node.settings.references())
        parents[node.name] = [name for _, kind, name in references if kind == "model"]
        for field, kind, name in references:
            if name not in names[kind]:
                lost.add(node.name)
                where = document.place(node.template, node.stage, (field,))
                names[kind].tell(name, where, node.name, mistakes)
            elif kind == "dataset" and field not in AFTERWARDS:
                made_by = [maker for maker in makers.get(name, ()) if maker not in parents[node.name]]
                parents[node.name] += made_by
                through |= {(maker, node.name): f"dataset {name}" for maker in made_by}
    return _in_order("models", nodes, parents, lost, mistakes, through)


def check_measured(
    measured: Mapping[str, Where], nodes: Mapping[str, object], variables: Sequence[str], mistakes: Mistakes
) -> None:
    """Find measured models that a config does not define.

    Args:
        measured: the names of the models, each with its place in the config.
        nodes: the models that the config defines.
        variables: the variables of the matrix.
        mistakes: takes the mistakes.
    """
    models = _names(nodes, {}, variables)["model"]
    for name, where in measured.items():
        if name not in models:
            models.tell(name, where, name, mistakes)


def _names(
    nodes: Mapping[str, object], datasets: Mapping[str, object], variables: Sequence[str]
) -> "dict[str, _Names]":
    return {"model": _Names("model", nodes, variables), "dataset": _Names("dataset", datasets, variables)}


class _Names:
    """The names of one kind that a config defines.

    Args:
        kind: what they name.
        entries: the names; a name with braces could not be expanded.
        variables: the variables of the matrix.
    """

    def __init__(self, kind: str, entries: Mapping[str, object], variables: Sequence[str]) -> None:
        self._kind = kind
        self._entries = entries
        self._variables = variables
        unexpanded = [re.escape(name) for name in entries if "{" in name]
        self._patterns = [re.compile(re.sub(r"\\\{.*?\\\}", ".+", name)) for name in unexpanded]

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def tell(self, name: str, where: Where, entry: str, mistakes: Mistakes) -> None:
        """Note that there is no such name, unless there would be but for another mistake."""
        hidden = any(pattern.fullmatch(name) for pattern in self._patterns)
        # Finding the nearest of many names takes long.
        if not hidden and not mistakes.is_hidden(where, entry):
            hint = undeclared(name, self._variables) or suggest(name, self._entries)
            mistakes.add(where, f"there is no {self._kind} {name!r}; {hint}", entry)


def _in_order(
    section: str,
    entries: Mapping[str, Entry | None],
    parents: Mapping[str, Sequence[str]],
    lost: set[str],
    mistakes: Mistakes,
    through: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> dict[str, Entry]:
    """Return the entries, each after its parents, without entries that are lost or made from each other.

    What stands between a parent and an entry, such as a dataset, is named in `through`.
    """
    left = {name: entry for name, entry in entries.items() if entry is not None}
    while True:
        known = {name: [parent for parent in parents[name] if parent in left] for name in left}
        try:
            return {name: left[name] for name in TopologicalSorter(known).static_order() if name not in lost}
        except CycleError as error:
            cycle: list[str] = error.args[1]
        first = min(cycle[1:], key=list(left).index)
        what = f"{section} are made from each other: {_way(cycle, through)}"
        mistakes.add((section, left[first].template), what, first)
        left = {name: entry for name, entry in left.items() if name not in cycle}


def _way(cycle: Sequence[str], through: Mapping[tuple[str, str], str]) -> str:
    """Return the way round a circle."""
    steps = [[through[step], step[1]] if step in through else [step[1]] for step in pairwise(cycle)]
    return " -> ".join([cycle[0], *chain.from_iterable(steps)])
