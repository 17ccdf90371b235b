"""GLUE tasks in their official TSV layout."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from kdpipe.data.files import SplitFiles
from kdpipe.data.glue import GlueTasks, layout_named
from kdpipe.data.labels import number
from kdpipe.data.lines import no_rows, read_lines, without_blank_end
from kdpipe.data.source import FIRST, TEST, TRAIN, VALIDATION, Example
from kdpipe.data.tables import check_single
from kdpipe.data.telling import listed
from kdpipe.errors import DataError, quoted

LOG = logging.getLogger(__name__)
STANDARD = {TRAIN: ("train.tsv",), VALIDATION: ("dev.tsv",), TEST: ("test.tsv",)}
MATCHED = {
    TRAIN: ("train.tsv",),
    VALIDATION: ("dev_matched.tsv",),
    "validation_mismatched": ("dev_mismatched.tsv",),
    TEST: ("test_matched.tsv",),
    "test_mismatched": ("test_mismatched.tsv",),
}
BINARY = ("0", "1")
ENTAILMENT = ("entailment", "not_entailment")
SENTENCES = ("sentence1", "sentence2")


@dataclass(frozen=True)
class Layout:
    """How the files of one GLUE task are laid out.

    Args:
        texts: the columns of the text or the pair, by their names in the header.
        label: the column of the label.
        labels: the labels; none for a regression.
        columns: the columns of files that have no header.
        files: split to file name.
        short_rows: whether rows with too few columns are known to occur in the training file and are skipped.
    """

    texts: tuple[str, ...]
    label: str = "label"
    labels: tuple[str, ...] = BINARY
    columns: tuple[str, ...] = ()
    files: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: STANDARD)
    short_rows: bool = False


LAYOUTS = {
    "CoLA": Layout(("sentence",), columns=("source", "label", "mark", "sentence")),
    "SST-2": Layout(("sentence",)),
    "MRPC": Layout(("#1 String", "#2 String"), "Quality"),
    "STS-B": Layout(SENTENCES, "score", labels=()),
    "QQP": Layout(("question1", "question2"), "is_duplicate", short_rows=True),
    "MNLI": Layout(SENTENCES, "gold_label", ("contradiction", "entailment", "neutral"), files=MATCHED),
    "QNLI": Layout(("question", "sentence"), labels=ENTAILMENT),
    "RTE": Layout(SENTENCES, labels=ENTAILMENT),
    "WNLI": Layout(SENTENCES),
}


class GlueSource(GlueTasks):
    """One task of the GLUE benchmark, from its official files.

    Columns are found by the header, so that a test file with its gold labels and GLUE's own, which has
    none, are both read. Quotation marks are text. Rows that are too short, of which the training file of QQP
    has some, are skipped there and counted in the log.

    Args:
        task: `classification`, or `regression` for STS-B.
        name: a GLUE task, in any case and with or without the hyphen.
        path: a folder with the official files, as far as they exist.
        files: split name to file; stands before `path`.
        encoding: how the text of the files is encoded, such as `utf-16` or `latin-1`.
        labels: `none` drops those of the training split; it and the validation split may lack labels.
    """

    def __init__(
        self,
        *,
        task: str,
        name: str,
        path: Path | None = None,
        files: Mapping[str, Path] = MappingProxyType({}),
        encoding: str = "utf-8",
        labels: Literal["none"] | None = None,
    ) -> None:
        self.task = task
        self._encoding = encoding
        self._optional = labels == "none"
        self._told: set[str] = set()
        self._layout = layout_named(name, LAYOUTS)
        self._files = SplitFiles(path, files, self._layout.files)

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes, as the files have them; None for a regression."""
        return self._layout.labels or None

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have a file."""
        return self._files.names()

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per row; its id is `split:line`, its label None if the file has none.

        Raises:
            DataError: a row, a label or the header is not as the layout has it.
        """
        file = self._files.file(split)
        texts, label, rows = self._open(file, split)
        for line, cells in self._whole(rows, file, split):
            gold = None if label is None else self._label(cells[label], f"{file}:{line}")
            pair = cells[texts[1]] if len(texts) == 2 else None
            yield Example(f"{split}:{line}", cells[texts[0]], pair, gold)

    def peek(self, split: str) -> Iterator[Example]:
        """Yield the first rows."""
        return islice(self.read(split), FIRST)

    def _whole(
        self, rows: Iterator[tuple[int, list[str], int]], file: Path, split: str
    ) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows with their line numbers, apart from those that are known to be too short."""
        may_be_short = self._layout.short_rows and split == TRAIN
        short, whole = [], 0
        for line, cells, width in rows:
            if len(cells) < width and may_be_short:
                short.append(line)
                continue
            if len(cells) != width:
                raise DataError(_wrong_width(f"{file}:{line}", width, len(cells)))
            whole += 1
            yield line, cells
        if not whole:
            raise no_rows(file)
        if short and split not in self._told:
            self._told.add(split)
            LOG.warning("%s: skipped %d rows that are too short, first line %d", file, len(short), short[0])

    def _open(
        self, file: Path, split: str
    ) -> tuple[list[int], int | None, Iterator[tuple[int, list[str], int]]]:
        """Return where texts and label stand, and the rows with their line numbers and expected widths."""
        lines = without_blank_end(read_lines(file, self._encoding), file)
        start, first = next(lines)
        header = first.split("\t")
        named = not self._layout.columns or set(self._layout.texts) <= set(header)
        columns = header if named else list(self._layout.columns)
        texts, label = _columns(self._layout, columns, f"{file}:1", self._may_lack(split))
        body = ((n, line.split("\t"), len(columns)) for n, line in lines)
        return texts, label, body if named else chain([(start, header, len(columns))], body)

    def _may_lack(self, split: str) -> bool:
        return self._optional or split not in (TRAIN, VALIDATION)

    def _label(self, text: str, where: str) -> str | float:
        if self._layout.labels:
            if text not in self._layout.labels:
                raise DataError(_wrong_label(where, text, self._layout.labels))
            return text
        return number(text, where)


def _columns(layout: Layout, header: list[str], where: str, may_lack: bool) -> tuple[list[int], int | None]:
    missing = {*layout.texts, *([] if may_lack else [layout.label])} - set(header)
    if missing:
        raise DataError(
            f"{where}: expected a header with the columns {', '.join(sorted(missing))}, found"
            f" {listed(header)}; the file must be the official tab-separated one"
        )
    check_single(where, [*layout.texts, layout.label], header)
    label = header.index(layout.label) if layout.label in header else None
    return [header.index(text) for text in layout.texts], label


def _wrong_width(where: str, expected: int, found: int) -> str:
    return f"{where}: expected {expected} tab-separated columns, found {found}; mend or remove the row"


def _wrong_label(where: str, found: str, labels: tuple[str, ...]) -> str:
    expected = f"expected a label out of {', '.join(labels)}"
    return f"{where}: {expected}, found {quoted(found)}; mend or remove the row"
