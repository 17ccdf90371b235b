"""References between the entries of a config: that they lead somewhere, and not in a circle."""

import re
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from kdpipe.config.document import Document
from kdpipe.config.matrix import undeclared
from kdpipe.config.mistakes import Mistakes, Where
from kdpipe.config.settings.dataset import CombineSettings
from kdpipe.errors import suggest
from kdpipe.plan.entries import Dataset, Node

Entry = TypeVar("Entry", Node, Dataset)


def order_datasets(
    datasets: Mapping[str, Dataset | None], variables: Sequence[str], mistakes: Mistakes
) -> dict[str, Dataset]:
    """Return the datasets that have no mistake, each after its parts."""
    names = _Names("dataset", datasets, variables)
    parts, lost = {}, set()
    for dataset in filter(None, datasets.values()):
        settings = dataset.settings
        parts[dataset.name] = settings.combine if isinstance(settings, CombineSettings) else ()
        for part in parts[dataset.name]:
            if part not in names:
                lost.add(dataset.name)
                names.tell(part, ("datasets", dataset.template, "combine"), dataset.name, mistakes)
    return _in_order("datasets", datasets, parts, lost, mistakes)


def order_nodes(
    nodes: Mapping[str, Node | None],
    datasets: Mapping[str, Dataset | None],
    document: Document,
    variables: Sequence[str],
    mistakes: Mistakes,
) -> dict[str, Node]:
    """Return the models that have no mistake, each after the models that it is made from."""
    names = {"model": _Names("model", nodes, variables), "dataset": _Names("dataset", datasets, variables)}
    parents, lost = {}, set()
    for node in filter(None, nodes.values()):
        references = list(node.settings.references())
        parents[node.name] = [name for _, kind, name in references if kind == "model"]
        for field, kind, name in references:
            if name not in names[kind]:
                lost.add(node.name)
                where = document.place(node.template, node.stage, (field,))
                names[kind].tell(name, where, node.name, mistakes)
    return _in_order("models", nodes, parents, lost, mistakes)


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
) -> dict[str, Entry]:
    """Return the entries, each after its parents, without entries that are lost or made from each other."""
    left = {name: entry for name, entry in entries.items() if entry is not None}
    while True:
        known = {name: [parent for parent in parents[name] if parent in left] for name in left}
        try:
            return {name: left[name] for name in TopologicalSorter(known).static_order() if name not in lost}
        except CycleError as error:
            cycle: list[str] = error.args[1]
        first = min(cycle[1:], key=list(left).index)
        what = f"{section} are made from each other: {' -> '.join(cycle)}"
        mistakes.add((section, left[first].template), what, first)
        left = {name: entry for name, entry in left.items() if name not in cycle}
