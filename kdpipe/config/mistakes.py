"""The mistakes of a config: the place and the message of each, and no message twice."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from kdpipe.errors import ConfigError, KdpipeError, Problem

Where = tuple[str | int, ...]
Findings = Iterator[tuple[Where, str]]
# How pydantic begins the message of a `ValueError`.
VALUE_ERROR = "Value error, "


class Mistakes:
    """The mistakes of a config so far."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._entries: dict[str, str] = {}

    def add(self, where: Where, what: str, entry: str = "") -> None:
        """Note a mistake.

        Args:
            where: keys and indices of the mistake.
            what: what was expected and found, and what to do about it.
            entry: the model or dataset with the mistake; where several entries of a matrix have a mistake at
                one place, only the first is reported.
        """
        if not self.is_hidden(where, entry):
            path = key_path(where)
            self._entries[path] = entry
            self.problems.append(Problem(path, what))

    def is_hidden(self, where: Where, entry: str) -> bool:
        """Tell whether a mistake of an entry is not reported, because another entry has one at its place."""
        return self._entries.get(key_path(where), entry) != entry

    def stop(self) -> None:
        """Raise ConfigError if there are mistakes."""
        if self.problems:
            raise ConfigError(self.problems)


class SettingError(KdpipeError):
    """A mistake in one setting of a model or dataset."""

    def __init__(self, setting: str, what: str) -> None:
        super().__init__(what)
        self.setting = setting


def key_path(where: Sequence[str | int]) -> str:
    """Return keys and indices as one path, such as `models.student.distill.losses[0].weight`."""
    path = ""
    for part in where:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    # A character that would move the cursor, or begin another line, is spelt out.
    return path if path.isprintable() else repr(path)[1:-1]


def explain(error: ValidationError) -> list[tuple[Where, str]]:
    """Return the mistakes of a failed validation: keys and indices, and the message."""
    return [(detail["loc"], detail["msg"].removeprefix(VALUE_ERROR)) for detail in error.errors()]


def problems_of(error: ValidationError) -> list[Problem]:
    """Return the mistakes of a failed validation, each with its key path."""
    return [Problem(key_path(where), what) for where, what in explain(error)]
