"""From the columns of tables to examples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from kdpipe.data.files import SplitFiles
from kdpipe.data.labels import checked_classes, class_name, class_names_in, is_on, number, sorted_classes
from kdpipe.data.source import TRAIN, Example, Label
from kdpipe.data.table_files import USUAL_FORM, Form, begins, check_names, open_table, read_rows
from kdpipe.errors import DataError, listed, quoted


@dataclass(frozen=True)
class TableReader:
    """Reads the splits of a dataset whose files are tables.

    Args:
        task: what the examples are for.
        files: the files by split.
        texts: the column of the text, or the two columns of a pair.
        label: the column of the label; of a multi-label dataset also one column of 0 and 1 for each class.
        classes: names of the classes in their order.
        separator: the characters between the labels of a multi-label dataset in one text.
        form: how the text of the files is written.
        keep: further columns of the training split.
    """

    task: str
    files: SplitFiles
    texts: Sequence[str]
    label: str | Sequence[str] | None = None
    classes: Sequence[str | int] | None = None
    separator: str | None = None
    form: Form = USUAL_FORM
    keep: Sequence[str] = ()

    @cached_property
    def label_columns(self) -> list[str]:
        """The columns of labels."""
        return [self.label] if isinstance(self.label, str) else list(self.label or ())

    @cached_property
    def labels(self) -> tuple[str, ...] | None:
        """The classes of the config, else classes that the file declares, else labels of the first split.

        These are sorted, by value if all are whole numbers, so that their order does not depend on the rows.
        """
        if self.task in ("language_modeling", "regression"):
            return None
        if self.classes:
            return checked_classes(self.classes, "classes")
        if self.label is None:
            raise _no_classes("no column is named as `label`")
        if not isinstance(self.label, str):
            return checked_classes(self.label, "label")
        parts = self.files.parts(self.files.names()[0])
        declared = open_table(parts[0][1], self.form).class_names(self.label)
        classes = declared or sorted_classes(name for _, file in parts for name in self._names_in(file))
        return checked_classes(classes, str(parts[0][1]))

    def read(self, split: str, most: int | None = None) -> Iterator[Example]:
        """Yield one example per row; its id is `split:line`, with the file between where there are several.

        Args:
            split: the split.
            most: number of rows of each file that are read; by default all are read, and compared with the
                classes.
        """
        known = most is None or bool(self.classes)
        labelled: bool | None = None
        kept = sorted(self.keep) if split == TRAIN else ()
        for prefix, file in self.files.parts(split):
            seen = most is None or begins(file)
            labels = self._labels_in(file, split, seen)
            if not seen:
                check_names(file, [*self.texts, *labels, *kept])
                continue
            rows = read_rows(file, [*self.texts, *labels, *kept], self.form)
            place, may_lack = str(file), self.files.may_lack_labels(split)
            for line, cells in islice(rows, most):
                where = f"{place}:{line}"
                texts = [text_cell(cells[name], name, where) for name in self.texts]
                label = self._label(cells, where, may_lack, known) if labels else None
                if split != TRAIN and labelled not in (None, label is not None):
                    after = "none after rows with" if labelled else f"{quoted(label)} after rows without"
                    raise DataError(
                        f"{where}: expected labels on all rows of {split!r} or on none, found {after} one;"
                        " mend the rows that differ"
                    )
                labelled = label is not None
                more = tuple((name, text_cell(cells[name], name, where)) for name in kept)
                second = texts[1] if texts[1:] else None
                yield Example(f"{prefix}:{line}", texts[0], second, label, kept=more)

    def _names_in(self, file: Path) -> Iterator[str]:
        """Yield the names of the classes in a file, as often as they occur."""
        labels, header = self.label_columns, open_table(file, self.form).columns()
        if self.files.unlabelled and labels[0] not in header:
            raise _no_classes(f"{file} has no column {labels[0]!r}, only {listed(header)}")
        for line, cells in read_rows(file, labels, self.form):
            yield from self._names(cells, f"{file}:{line}")

    def _labels_in(self, file: Path, split: str, seen: bool) -> list[str]:
        """Return the columns of labels, if a file has them or must have them; unseen files may lack them."""
        columns = self.label_columns
        if self.task == "language_modeling":
            return []
        if not self.files.may_lack_labels(split):
            return columns
        return columns if seen and set(columns).intersection(open_table(file, self.form).columns()) else []

    def _label(self, cells: Mapping[str, Any], where: str, may_lack: bool, known: bool) -> Label | None:
        """Return the label of a row, None if the row has no label and may lack it."""
        first = cells[self.label_columns[0]]
        # An empty text lists no label where it may list several.
        if may_lack and (first is None or (first == "" and self.task != "multi_label")):
            return None
        if self.task == "regression":
            return number(first, where)
        # The most frequent case first, for speed.
        if known and self.task == "classification" and isinstance(first, str) and first in self._known:
            return first
        names = self._names(cells, where)
        for name in names if known else ():
            if name not in self._known:
                raise DataError(self._unknown(name, where))
        return names if self.task == "multi_label" else names[0]

    def _unknown(self, name: str, where: str) -> str:
        remedy = "; mend or remove the row"
        if not self.classes:
            remedy += (
                ", or give all labels as `classes`: without `classes`, the training split names the labels"
            )
        return f"{where}: expected a label out of {listed(self.labels or ())}, found {quoted(name)}{remedy}"

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.labels or ())

    def _names(self, cells: Mapping[str, Any], where: str) -> tuple[str, ...]:
        """Return the names of the classes that a row has."""
        if not isinstance(self.label, str):
            return tuple(
                name for name in self.label_columns if is_on(cells[name], f"{where}: column {name!r}")
            )
        if self.task == "multi_label":
            return class_names_in(cells[self.label], self.separator, where)
        return (class_name(cells[self.label], where),)


def text_cell(value: Any, column: str, where: str) -> str:
    """Return the text that a cell holds, or raise DataError if it holds something else."""
    if not isinstance(value, str):
        raise DataError(
            f"{where}: expected a text in column {column!r}, found {quoted(value)}; mend or remove the row"
        )
    return value


def _no_classes(reason: str) -> DataError:
    return DataError(f"expected the names of the classes, but {reason}; give them as `classes`")
