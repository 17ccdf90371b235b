"""The matrix: its variables, the choices of their values, and the placeholders that take them."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log10, prod
from typing import Any

from kdpipe.config.mistakes import Mistakes, Where
from kdpipe.errors import KdpipeError, suggest

WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# The papers that are reproduced take a hundredth of this.
MOST_CHOICES = 100_000
PLACEHOLDER = re.compile(rf"\{{({WORD.pattern})(?:\.({WORD.pattern}))?\}}", re.ASCII)


@dataclass(frozen=True)
class Value:
    """One value of a variable: `{variable}` gives its name, `{variable.field}` a field of its record."""

    name: Any
    fields: Mapping[str, Any] = field(default_factory=dict, compare=False)


Choice = Mapping[str, Value]


class MatrixError(KdpipeError):
    """A placeholder that has no single value, or names no variable of the matrix or no field of it."""


class Matrix:
    """The union of the products of the blocks' variables.

    Args:
        blocks: `matrix` of a config: one block or several, each variable to its values.

    Raises:
        ConfigError: a name is not a word, values are neither a list of scalars nor records, or there are too
            many choices of them.
    """

    def __init__(self, blocks: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> None:
        mistakes = Mistakes()
        if isinstance(blocks, Mapping):
            values = [_read_block(blocks, ("matrix",), mistakes)]
        else:
            values = [_read_block(b, ("matrix", i), mistakes) for i, b in enumerate(blocks or [])]
        _check_size(values, mistakes)
        mistakes.stop()
        self.choices: list[Choice] = [
            dict(zip(block, combination, strict=True))
            for block in values
            for combination in itertools.product(*block.values())
        ]
        self._distinct: dict[tuple[str, ...], list[Choice]] = {}
        self.variables = tuple(dict.fromkeys(name for block in values for name in block))

    def choices_of(self, variables: Sequence[str], within: Choice | None = None) -> list[Choice]:
        """Return the distinct choices of some variables, among the choices that agree with `within`."""
        if not within and tuple(variables) in self._distinct:
            return self._distinct[tuple(variables)]
        distinct: dict[tuple[str, ...], Choice] = {}
        for choice in self.choices or [{}]:
            agrees = all(choice.get(name) == value for name, value in (within or {}).items())
            if agrees and all(name in choice for name in variables):
                part = {name: choice[name] for name in variables}
                key = tuple(str(value.name) for value in part.values())
                for name, value in distinct.setdefault(key, part).items():
                    if value.fields != part[name].fields:
                        what = "has different fields in two blocks of the matrix"
                        raise MatrixError(f"{name} {value.name!r} {what}")
        choices = list(distinct.values())
        if not within:
            self._distinct[tuple(variables)] = choices
        return choices

    def variables_in(self, text: str) -> list[str]:
        """Return the variables whose placeholders occur in a text, each once."""
        names = (match[1] for match in PLACEHOLDER.finditer(text))
        return [name for name in dict.fromkeys(names) if name in self.variables]

    def fill(self, value: Any, choice: Choice) -> Any:
        """Replace placeholders in a string; a placeholder that is the whole string keeps its value's type.

        Braces around anything but a variable are left alone.
        """
        if not isinstance(value, str) or "{" not in value:
            return value
        whole = PLACEHOLDER.fullmatch(value)
        if whole and whole[1] in self.variables:
            return _lookup(whole, choice)
        names = self.variables
        return PLACEHOLDER.sub(lambda m: str(_lookup(m, choice)) if m[1] in names else m[0], value)

    def expand(self, template: str) -> list[tuple[str, Choice]]:
        """Return the names that a template stands for, each with its choice."""
        hint = undeclared(template, self.variables)
        if hint:
            raise MatrixError(hint)
        variables = self.variables_in(template)
        choices = self.choices_of(variables)
        if not choices:
            raise MatrixError(f"no block of the matrix has all of {', '.join(variables)}")
        return [(str(self.fill(template, choice)), choice) for choice in choices]

    def fill_all(self, text: str, choice: Choice) -> list[str]:
        """Replace placeholders in a text, running over all values of variables that the choice lacks."""
        free = [name for name in self.variables_in(text) if name not in choice]
        if not free:
            return [str(self.fill(text, choice))]
        return [str(self.fill(text, {**choice, **part})) for part in self.choices_of(free, within=choice)]


def undeclared(value: Any, variables: Sequence[str]) -> str | None:
    """Return a hint on the first placeholder in a text that names no variable, if there is one."""
    for match in PLACEHOLDER.finditer(value if isinstance(value, str) else ""):
        if match[1] not in variables:
            return f"the matrix has no variable {match[1]!r}; {suggest(match[1], variables)}"
    return None


def _lookup(match: re.Match[str], choice: Choice) -> Any:
    variable, name = match[1], match[2]
    if variable not in choice:
        raise MatrixError(
            f"{match[0]} is not in the node's name, so it has no single value here; "
            f"put {{{variable}}} in the name, or use it only in lists of models or datasets"
        )
    value = choice[variable]
    if name is None:
        return value.name
    if name not in value.fields:
        raise MatrixError(f"{variable} {value.name!r} has no field {name!r}; {suggest(name, value.fields)}")
    return value.fields[name]


def _check_size(blocks: Sequence[Mapping[str, Sequence[Value]]], mistakes: Mistakes) -> None:
    count = sum(prod(map(len, block.values())) for block in blocks)
    if count > MOST_CHOICES:
        number = f"{count:,}" if count < 10**15 else f"about 10^{log10(count):.0f}"
        what = f"its values have {number} combinations; there may be {MOST_CHOICES:,}"
        remedy = "put variables that no name has together in blocks of their own"
        mistakes.add(("matrix",), f"{what}; take out values, or {remedy}")


def _read_block(block: Mapping[str, Any], where: Where, mistakes: Mistakes) -> dict[str, list[Value]]:
    variables = {variable: _values(values) for variable, values in block.items()}
    for variable, values in variables.items():
        place = (*where, variable)
        _check_word(variable, place, mistakes)
        if not values:
            what = f"expected a list of scalars, or names with records of fields; found {block[variable]!r}"
            mistakes.add(place, what)
        for value in values:
            for name in value.fields:
                _check_word(name, (*place, str(value.name), name), mistakes)
    return variables


def _check_word(word: Any, where: Where, mistakes: Mistakes) -> None:
    if not WORD.fullmatch(str(word)):
        mistakes.add(where, "expected a name of letters, digits and `_`, no digit first")


def _values(values: Any) -> list[Value]:
    if isinstance(values, Mapping) and all(isinstance(record, Mapping) for record in values.values()):
        return [Value(name, record) for name, record in values.items()]
    if isinstance(values, list) and not any(isinstance(item, list | dict | None) for item in values):
        return [Value(item) for item in values]
    return []
