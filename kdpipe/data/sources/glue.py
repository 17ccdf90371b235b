"""GLUE tasks in their official TSV layout."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from kdpipe.data.files import SplitFiles, read_lines
from kdpipe.data.source import TRAIN, VALIDATION, Example
from kdpipe.errors import DataError

_LAYOUT = {"train": ("train.tsv",), "validation": ("dev.tsv",), "test": ("test.tsv",)}


@dataclass(frozen=True)
class _Task:
    """How the files of one GLUE task are laid out: the columns by their names in the header."""

    texts: tuple[str, ...]
    label: str
    labels: tuple[str, ...]


_TASKS = {
    "MRPC": _Task(("#1 String", "#2 String"), "Quality", ("0", "1")),
    "SST-2": _Task(("sentence",), "label", ("0", "1")),
}


class GlueSource:
    """One task of the GLUE benchmark.

    Columns are found by the header, so that a test file with its gold labels and GLUE's own,
    which has none, are both read. Quotation marks are text.

    Args:
        task: `classification`.
        name: `MRPC` or `SST-2`, in any case and with or without the hyphen.
        path: a folder with `train.tsv`, `dev.tsv` and `test.tsv`, as far as they exist.
        files: split name to file; stands before `path`.

    Raises:
        DataError: `name` is another task.

    Reference:
        Wang et al. 2018, GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language
        Understanding.
    """

    tasks: tuple[str, ...] = ("classification",)

    def __init__(
        self,
        *,
        task: str,
        name: str,
        path: Path | None = None,
        files: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        self.task = task
        self._layout = _layout_of(name)
        self._files = SplitFiles(path, files, _LAYOUT)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, as the files have them."""
        return self._layout.labels

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have a file."""
        return self._files.names()

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per row; its id is `split:line`, its label None if the file has none.

        Raises:
            DataError: a row, a label or the header is not as the layout has it.
        """
        file = self._files.file(split)
        lines = read_lines(file)
        _, first = next(lines)
        header = first.split("\t")
        texts, label = _columns(self._layout, header, f"{file}:1", split)
        for number, line in lines:
            cells = line.split("\t")
            if len(cells) != len(header):
                raise DataError(_wrong_width(f"{file}:{number}", len(header), len(cells)))
            gold = None if label is None else cells[label]
            if gold is not None and gold not in self.labels:
                raise DataError(_wrong_label(f"{file}:{number}", gold, self.labels))
            pair = cells[texts[1]] if len(texts) == 2 else None
            yield Example(f"{split}:{number}", cells[texts[0]], pair, gold)


def _layout_of(name: str) -> _Task:
    known = {_plain(task): layout for task, layout in _TASKS.items()}
    if _plain(name) not in known:
        raise DataError(
            f"the GLUE task {name!r} is not available in this version; {' and '.join(_TASKS)} are"
        )
    return known[_plain(name)]


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _columns(layout: _Task, header: list[str], where: str, split: str) -> tuple[list[int], int | None]:
    may_lack = {layout.label} if split not in (TRAIN, VALIDATION) else set()
    missing = {*layout.texts, layout.label} - may_lack - set(header)
    if missing:
        raise DataError(
            f"{where}: expected a header with the columns {', '.join(sorted(missing))}, found"
            f" {', '.join(header)}; the file must be the official tab-separated one"
        )
    label = header.index(layout.label) if layout.label in header else None
    return [header.index(text) for text in layout.texts], label


def _wrong_width(where: str, expected: int, found: int) -> str:
    return f"{where}: expected {expected} tab-separated columns, found {found}; mend or remove the row"


def _wrong_label(where: str, found: str, labels: tuple[str, ...]) -> str:
    return f"{where}: expected a label out of {', '.join(labels)}, found {found!r}; mend or remove the row"
