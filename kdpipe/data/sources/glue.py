"""GLUE tasks in their official TSV layout."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

from kdpipe.data.columns import Columns, TableReader
from kdpipe.data.files import RENAMED, SplitFiles
from kdpipe.data.labels import number
from kdpipe.data.lines import no_rows, read_lines, without_blank_end
from kdpipe.data.source import FIRST, TEST, TRAIN, VALIDATION, Example
from kdpipe.data.stored import is_stored
from kdpipe.data.tables import check_single, open_table
from kdpipe.data.telling import listed
from kdpipe.errors import DataError, quoted, suggest
from kdpipe.matching import plain

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
Found = TypeVar("Found")
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


class StoredLayout(NamedTuple):
    """How a stored table has one GLUE task: the columns of texts, and what its classes are called here."""

    texts: tuple[str, ...]
    classes: Mapping[str, str]


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
STORED = {
    "CoLA": StoredLayout(("sentence",), {"unacceptable": "0", "acceptable": "1"}),
    "SST-2": StoredLayout(("sentence",), {"negative": "0", "positive": "1"}),
    "MRPC": StoredLayout(SENTENCES, {"not_equivalent": "0", "equivalent": "1"}),
    "STS-B": StoredLayout(SENTENCES, {}),
    "QQP": StoredLayout(("question1", "question2"), {"not_duplicate": "0", "duplicate": "1"}),
    "MNLI": StoredLayout(("premise", "hypothesis"), {name: name for name in LAYOUTS["MNLI"].labels}),
    "QNLI": StoredLayout(("question", "sentence"), {name: name for name in ENTAILMENT}),
    "RTE": StoredLayout(SENTENCES, {name: name for name in ENTAILMENT}),
    "WNLI": StoredLayout(SENTENCES, {"not_entailment": "0", "entailment": "1"}),
}
# The splits of MNLI that a choice among models takes first.
FIRST_SPLITS = {**RENAMED, "validation_matched": VALIDATION, "test_matched": TEST}


class GlueSource:
    """One task of the GLUE benchmark, from its official files.

    Columns are found by the header, so that a test file with its gold labels and GLUE's own, which has
    none, are both read. Quotation marks are text. Rows that are too short, of which the training file of QQP
    has some, are skipped there and counted in the log. A stored table has columns and classes as nyu-mll/glue
    of the Hub has them. The classes are called as in the official files, so that a model trained on one table
    serves for both. The test split of such a table has no labels.

    Args:
        task: `classification`, or `regression` for STS-B.
        name: a GLUE task, in any case and with or without the hyphen.
        path: a folder with the official files, as far as they exist.
        files: split name to file; stands before `path`.
        encoding: how the text of the files is encoded, such as `utf-16` or `latin-1`.
        labels: `none` drops those of the training split; it and the validation split may lack labels.

    Reference:
        Wang et al. 2018, GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language
        Understanding (arXiv 1804.07461), table 1, for the metrics; the dataset card of nyu-mll/glue.
    """

    tasks: tuple[str, ...] = ("classification", "regression")
    names: ClassVar[dict[str, dict[str, Any]]] = {
        "CoLA": {
            "submission": {"test": "CoLA"},
            "task": "classification",
            "metrics": ("matthews",),
            "labels": ("0", "1"),
        },
        "SST-2": {
            "submission": {"test": "SST-2"},
            "task": "classification",
            "metrics": ("accuracy",),
            "labels": ("0", "1"),
        },
        "MRPC": {
            "submission": {"test": "MRPC"},
            "task": "classification",
            "metrics": ("accuracy", "f1", "accuracy_and_f1"),
            "pairs": True,
            "labels": ("0", "1"),
        },
        "STS-B": {
            "submission": {"test": "STS-B"},
            "task": "regression",
            "metrics": ("pearson", "spearman", "pearson_and_spearman"),
            "pairs": True,
        },
        "QQP": {
            "submission": {"test": "QQP"},
            "task": "classification",
            "metrics": ("accuracy", "f1", "accuracy_and_f1"),
            "pairs": True,
            "labels": ("0", "1"),
        },
        "MNLI": {
            "submission": {"test": "MNLI-m", "test_mismatched": "MNLI-mm"},
            "task": "classification",
            "metrics": ("accuracy",),
            "pairs": True,
            "labels": ("contradiction", "entailment", "neutral"),
        },
        "QNLI": {
            "submission": {"test": "QNLI"},
            "task": "classification",
            "metrics": ("accuracy",),
            "pairs": True,
            "labels": ("entailment", "not_entailment"),
        },
        "RTE": {
            "submission": {"test": "RTE"},
            "task": "classification",
            "metrics": ("accuracy",),
            "pairs": True,
            "labels": ("entailment", "not_entailment"),
        },
        "WNLI": {
            "submission": {"test": "WNLI"},
            "task": "classification",
            "metrics": ("accuracy",),
            "pairs": True,
            "labels": ("0", "1"),
        },
    }

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
        self._files = SplitFiles(path, files, self._layout.files, renamed=FIRST_SPLITS)
        self._stored = layout_named(name, STORED)
        text, pair = (*self._stored.texts, None)[:2]
        assert text is not None
        columns = Columns(text, pair, "label", [*self._stored.classes], optional=self._optional)
        self._tables = TableReader(task, columns, self._files)

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
        if is_stored(file):
            yield from self._read_stored(file, split)
            return
        texts, label, rows = self._open(file, split)
        for line, cells in self._whole(rows, file, split):
            gold = None if label is None else self._label(cells[label], f"{file}:{line}")
            pair = cells[texts[1]] if len(texts) == 2 else None
            yield Example(f"{split}:{line}", cells[texts[0]], pair, gold)

    def peek(self, split: str) -> Iterator[Example]:
        """Yield the first rows; of stored tables there is nothing to be seen without reading them."""
        return iter(()) if is_stored(self._files.file(split)) else islice(self.read(split), FIRST)

    def _read_stored(self, file: Path, split: str) -> Iterator[Example]:
        classes, found = self._stored.classes, open_table(file).class_names("label") or ()
        if set(found) != set(classes):
            raise DataError(
                f"{file}: expected the classes {', '.join(classes)} to be declared, found {listed(found)}"
            )
        for example in self._tables.read(split):
            label = classes[example.label] if isinstance(example.label, str) else example.label
            unknown = split.startswith(TEST) and label == -1
            yield replace(example, label=None if unknown else label)

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


def layout_named(name: str, layouts: Mapping[str, Found]) -> Found:
    """Return the layout of the task of a name, in any case and with or without the hyphen.

    Raises:
        DataError: there is no such task.
    """
    found = {plain(known): layout for known, layout in layouts.items()}
    if plain(name) not in found:
        raise DataError(f"expected a GLUE task as `name`, found {name!r}; {suggest(name, layouts)}")
    return found[plain(name)]
