"""The mistakes of a config: where each stands, what it is, and that each is told once."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from kdpipe.errors import ConfigError, KdpipeError, Problem

Where = tuple[str | int, ...]
Findings = Iterator[tuple[Where, str]]


class Mistakes:
    """Those found so far in a config."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._entries: dict[str, str] = {}

    def add(self, where: Where, what: str, entry: str = "") -> None:
        """Note a mistake.

        Args:
            where: keys and indices that lead to it.
            what: what was expected and found, and what to do about it.
            entry: the model or dataset that has it; of several with a mistake at the same place, as those
                of a matrix, only the first is told.
        """
        if not self.told_for_another(where, entry):
            path = key_path(where)
            self._entries[path] = entry
            self.problems.append(Problem(path, what))

    def told_for_another(self, where: Where, entry: str) -> bool:
        """Tell whether a mistake at a place would go untold, as another entry has one there."""
        return self._entries.get(key_path(where), entry) != entry

    def stop(self) -> None:
        """Raise ConfigError if there are any."""
        if self.problems:
            raise ConfigError(self.problems)


class SettingError(KdpipeError):
    """Something wrong with one setting of a model or dataset."""

    def __init__(self, setting: str, what: str) -> None:
        super().__init__(what)
        self.setting = setting


def key_path(where: Sequence[str | int]) -> str:
    """Return keys and indices as one path, such as `models.student.distill.losses[0].weight`."""
    path = ""
    for part in where:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    # What would move the cursor, or begin another line, is spelt out.
    return path if path.isprintable() else repr(path)[1:-1]


def explain(error: ValidationError) -> list[tuple[Where, str]]:
    """Return what a failed validation found: keys and indices, and what is wrong there."""
    return [(detail["loc"], detail["msg"]) for detail in error.errors()]


def problems_of(error: ValidationError) -> list[Problem]:
    """Return the problems that a failed validation found, each with its key path."""
    return [Problem(key_path(where), what) for where, what in explain(error)]
