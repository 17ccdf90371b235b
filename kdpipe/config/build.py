"""Build the graph of a config: expand the matrix, validate every node, resolve every reference.

All mistakes are collected and raised together; a mistake in a node of a matrix is told once, at its place
in the file.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from kdpipe.config import checks
from kdpipe.config.document import (
    Document,
    key_path,
    merge,
    parse_document,
    problems_of,
    read_config,
)
from kdpipe.config.facts import work_out_datasets, work_out_facts
from kdpipe.config.graph import Dataset, Graph, Node
from kdpipe.config.matrix import Choice, Matrix, UnknownVariableError, undeclared
from kdpipe.config.settings.base import reference_fields
from kdpipe.config.settings.dataset import CombineSettings, read_dataset
from kdpipe.config.stages import LATER_STAGES, MODEL_STAGES
from kdpipe.errors import ConfigError, KdpipeError, Problem, suggest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
Where = tuple[str | int, ...]
Entry = TypeVar("Entry", Node, Dataset)


def load_graph(paths: Sequence[Path]) -> Graph:
    """Read config files and build their graph.

    Raises:
        ConfigError: the config has mistakes; all of them.
    """
    return build_graph(read_config(paths))


def build_graph(config: Mapping[str, Any]) -> Graph:
    """Build the graph of a config that has been read and merged.

    Raises:
        ConfigError: the config has mistakes; all of them.
    """
    return _Builder(parse_document(config)).build()


class _Builder:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        try:
            self.matrix = Matrix(document.matrix)
        except KdpipeError as error:
            raise ConfigError([Problem("matrix", str(error))]) from None

    def build(self) -> Graph:
        datasets = self._expand("datasets", self.document.datasets, self._dataset)
        self._check_defaults()
        nodes = self._expand("models", self.document.models, self._node)
        self._check_references(nodes, datasets)
        self._stop_at_problems()
        datasets = work_out_datasets(datasets, self.document, self.problems)
        ordered = self._order(nodes)
        self._stop_at_problems()
        facts = work_out_facts(ordered, datasets, self.problems)
        graph = Graph(self.document, ordered, datasets, facts)
        self._stop_at_problems()
        self.problems += checks.check(graph, self.matrix.variables)
        self._stop_at_problems()
        return graph

    def _stop_at_problems(self) -> None:
        if self.problems:
            raise ConfigError(self.problems)

    def _expand(
        self,
        section: str,
        entries: Mapping[str, Any],
        make: Callable[[str, str, Choice, Any], Entry | None],
    ) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for template, raw in entries.items():
            where = (section, template)
            hint = undeclared(template, self.matrix.variables)
            if hint:
                self._report(where, hint)
                continue
            for choice in self.matrix.choices_of(self.matrix.variables_in(template)):
                name = str(self.matrix.fill(template, choice))
                if not NAME.fullmatch(name):
                    self._report(
                        where,
                        f"name {name!r}: expected letters, digits, `.`, `_`, `-`; one of the first two first",
                    )
                elif name in found:
                    self._report(
                        where,
                        f"name {name!r} is defined twice, here and by {found[name].template!r}",
                    )
                else:
                    entry = make(template, name, choice, raw)
                    if entry is not None:
                        found[name] = entry
        return found

    def _dataset(self, template: str, name: str, choice: Choice, raw: Any) -> Dataset | None:
        where = ("datasets", template)
        filled = self._fill(raw, choice, where, lists={"combine"})
        settings = self._validate(where, raw, lambda: read_dataset(filled))
        return settings and Dataset(name, template, settings, _names(choice))

    def _node(self, template: str, name: str, choice: Choice, raw: Mapping[str, Any]) -> Node | None:
        if len(raw) != 1:
            self._report(
                ("models", template),
                f"expected one stage, such as `finetune:`, found {', '.join(raw) or 'none'}",
            )
            return None
        ((stage, given),) = raw.items()
        where = ("models", template, stage)
        if stage not in MODEL_STAGES:
            self._report(where, _unknown_stage(stage))
            return None
        if not isinstance(given, Mapping):
            self._report(where, f"expected the settings of {stage}, found {given!r}")
            return None
        model = MODEL_STAGES[stage]
        lists = {field for field, (_, is_list) in reference_fields(model).items() if is_list}
        merged = merge({"seed": self.document.seed, **self.document.defaults.get(stage, {})}, given)
        filled = self._fill(merged, choice, where, lists)
        settings = self._validate(where, merged, lambda: model.model_validate(filled))
        return settings and Node(name, template, stage, settings, _names(choice))

    def _fill(self, value: Any, choice: Choice, where: Where, lists: Iterable[str] = ()) -> Any:
        """Replace placeholders throughout; keys in `lists` name models or datasets, and may run free."""
        if isinstance(value, Mapping):
            unquoted = self._unquoted(value)
            if unquoted:
                self._report(
                    where, f'`{{{unquoted}}}` is a mapping to YAML; write "{{{unquoted}}}" in quotes'
                )
                return value
            return {
                key: (self._fill_names if key in lists else self._fill)(item, choice, (*where, key))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._fill(item, choice, (*where, index)) for index, item in enumerate(value)]
        try:
            return self.matrix.fill(value, choice)
        except UnknownVariableError as error:
            self._report(where, str(error))
            return value

    def _unquoted(self, value: Mapping[str, Any]) -> str | None:
        """Return the variable whose placeholder was not quoted, which YAML reads as {variable: null}."""
        if len(value) != 1 or next(iter(value.values())) is not None:
            return None
        name = str(next(iter(value)))
        return name if name.split(".")[0] in self.matrix.variables else None

    def _fill_names(self, value: Any, choice: Choice, where: Where) -> Any:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return self._fill(value, choice, where)
        filled = []
        for name in names:
            try:
                filled += self.matrix.fill_all(name, choice)
            except UnknownVariableError as error:
                self._report(where, str(error))
        return list(dict.fromkeys(filled))

    def _validate(self, where: Where, raw: Any, validate: Callable[[], Any]) -> Any:
        before = len(self.problems)
        try:
            return validate()
        except (ValidationError, PydanticCustomError) as error:
            found = problems_of(error, where)
        except KdpipeError as error:
            found = [Problem(key_path(where), str(error))]
        hints = dict(self._undeclared(raw, where))
        already = {problem.where for problem in self.problems[before - len(self.problems) :]}
        for problem in found:
            if problem.where not in already:
                hint = hints.get(problem.where)
                self.problems.append(Problem(problem.where, f"{problem.what}; {hint}") if hint else problem)
        return None

    def _undeclared(self, value: Any, where: Where) -> Iterable[tuple[str, str]]:
        items = (
            value.items()
            if isinstance(value, Mapping)
            else enumerate(value)
            if isinstance(value, list)
            else ()
        )
        for key, item in items:
            yield from self._undeclared(item, (*where, key))
        hint = undeclared(value, self.matrix.variables)
        if hint:
            yield key_path(where), hint

    def _check_defaults(self) -> None:
        for stage, given in self.document.defaults.items():
            if stage not in MODEL_STAGES:
                self._report(("defaults", stage), _unknown_stage(stage))
                continue
            for key in given.keys() - MODEL_STAGES[stage].model_fields.keys():
                self._report(
                    ("defaults", stage, key),
                    f"unknown key; {suggest(key, MODEL_STAGES[stage].model_fields)}",
                )

    def _check_references(self, nodes: Mapping[str, Node], datasets: Mapping[str, Dataset]) -> None:
        known: Mapping[str, Mapping[str, Any]] = {"model": nodes, "dataset": datasets}
        for node in nodes.values():
            for field, kind, name in node.settings.references():
                if name not in known[kind]:
                    hint = undeclared(name, self.matrix.variables) or suggest(name, known[kind])
                    self._report(
                        ("models", node.template, node.stage, field),
                        f"there is no {kind} {name!r}; {hint}",
                    )
        for dataset in datasets.values():
            if isinstance(dataset.settings, CombineSettings):
                for name in dataset.settings.combine:
                    if name not in datasets:
                        hint = undeclared(name, self.matrix.variables) or suggest(name, datasets)
                        self._report(
                            ("datasets", dataset.template, "combine"),
                            f"there is no dataset {name!r}; {hint}",
                        )

    def _order(self, nodes: Mapping[str, Node]) -> dict[str, Node]:
        parents = {
            name: [parent for _, kind, parent in node.settings.references() if kind == "model"]
            for name, node in nodes.items()
        }
        try:
            return {name: nodes[name] for name in TopologicalSorter(parents).static_order()}
        except CycleError as error:
            cycle = " -> ".join(reversed(error.args[1]))
            self._report(("models",), f"nodes are made from each other: {cycle}")
            return {}

    def _report(self, where: Where, what: str) -> None:
        self.problems.append(Problem(key_path(where), what))


def _unknown_stage(stage: str) -> str:
    if stage in LATER_STAGES:
        return f"stage {stage!r} is not available in this version"
    return f"there is no stage {stage!r}; {suggest(stage, MODEL_STAGES)}"


def _names(choice: Choice) -> dict[str, Any]:
    return {variable: value.name for variable, value in choice.items()}
