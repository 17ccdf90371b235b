"""Reads the settings of one model or dataset: fills in its placeholders, then validates."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from kdpipe.config.matrix import Choice, Matrix, MatrixError, undeclared
from kdpipe.config.mistakes import Mistakes, Where, explain
from kdpipe.config.settings.base import Settings, naming_sections, reference_fields
from kdpipe.config.settings.explanation import value_at

Read = TypeVar("Read", bound=Settings)


@dataclass
class EntryReader:
    """Reads one entry of a config.

    Args:
        matrix: the matrix.
        mistakes: takes the mistakes.
        name: the name of the entry.
        choice: the values of the variables in its name.
        place: maps keys and indices in the settings to keys and indices in the config.
    """

    matrix: Matrix
    mistakes: Mistakes
    name: str
    choice: Choice
    place: Callable[[Where], Where]
    _wrong: set[Where] = field(default_factory=set, init=False)

    def read(self, raw: Any, model: type[Settings], validate: Callable[[Any], Read]) -> Read | None:
        """Return the settings of an entry, and note its mistakes.

        Wrong settings are left out if they have defaults, so that more mistakes can be found.

        Args:
            raw: the entry in the config.
            model: the class that says which settings name models and datasets.
            validate: makes the settings.
        """
        filled = self._fill_entry(raw, model)
        try:
            settings = validate(filled)
        except ValidationError as error:
            for where, what in explain(error):
                if where not in self._wrong:
                    hint = undeclared(value_at(raw, where), self.matrix.variables)
                    self._note(where, f"{what}; {hint}" if hint else what)
        if not self._wrong:
            return settings
        wrong = {where[:1] for where in self._wrong}
        if () not in wrong:
            with suppress(ValidationError):
                return validate({key: item for key, item in filled.items() if (key,) not in wrong})
        return None

    def _note(self, where: Where, what: str) -> None:
        self._wrong.add(where)
        self.mistakes.add(self.place(where), what, self.name)

    def _fill_entry(self, raw: Any, model: type[Settings], where: Where = ()) -> Any:
        """Replace placeholders; in lists of models or datasets, other variables take all of their values."""
        if not isinstance(raw, Mapping):
            return raw
        references, sections = reference_fields(model), naming_sections(model)
        free = {key for key, item in raw.items() if key in references and isinstance(item, list)}
        free |= {key for key, reference in references.items() if reference.many}
        filled = {}
        for key, item in raw.items():
            if key in sections and isinstance(item, Mapping):
                filled[key] = self._fill_entry(item, sections[key], (*where, key))
                continue
            pairs = key in references and isinstance(item, Mapping)
            fill = self._fill_pairs if pairs else self._fill_names if key in free else self._fill
            filled[key] = fill(item, (*where, key))
        return filled

    def _fill(self, value: Any, where: Where) -> Any:
        if isinstance(value, Mapping):
            unquoted = _unquoted(value, self.matrix.variables)
            if unquoted:
                self._note(where, f'`{{{unquoted}}}` is a mapping to YAML; write "{{{unquoted}}}" in quotes')
                return value
            return {key: self._fill(item, (*where, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._fill(item, (*where, index)) for index, item in enumerate(value)]
        try:
            return self.matrix.fill(value, self.choice)
        except MatrixError as error:
            self._note(where, str(error))
            return value

    def _fill_names(self, value: Any, where: Where) -> Any:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return self._fill(value, where)
        for name, times in Counter(names).items():
            if times > 1:
                self._note(where, f"{name!r} stands {times} times; name it once")
        filled: list[str] = []
        for name in names:
            try:
                filled += self.matrix.fill_all(name, self.choice)
            except MatrixError as error:
                self._note(where, str(error))
        return list(dict.fromkeys(filled))

    def _fill_pairs(self, value: Mapping[Any, Any], where: Where) -> Any:
        """Replace placeholders in keys and values; other variables of a key take all of their values."""
        if _unquoted(value, self.matrix.variables):
            return self._fill(value, where)
        filled: dict[Any, Any] = {}
        for key, item in value.items():
            free = [name for name in self.matrix.variables_in(str(key)) if name not in self.choice]
            try:
                for part in self.matrix.choices_of(free, within=self.choice) if free else [{}]:
                    choice = {**self.choice, **part}
                    name = self.matrix.fill(key, choice)
                    if name in filled:
                        self._note((*where, key), f"{name!r} is named twice; name it once")
                    inside = isinstance(item, Mapping)
                    filled[name] = (
                        self._fill_pairs(item, (*where, key)) if inside else self.matrix.fill(item, choice)
                    )
            except MatrixError as error:
                self._note((*where, key), str(error))
        return filled


def _unquoted(value: Mapping[Any, Any], variables: Sequence[str]) -> str | None:
    """Return the placeholder that was not quoted, which YAML reads as {placeholder: null}."""
    ((name, item),) = value.items() if len(value) == 1 else [("", "")]
    return str(name) if item is None and str(name).split(".")[0] in variables else None
