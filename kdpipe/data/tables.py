"""The rows of TSV, CSV, JSONL and stored tables, one at a time, each with where it stands."""

import csv
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from kdpipe.data.lines import UTF8, no_rows, read_lines, read_raw_lines, without_blank_end
from kdpipe.data.parsing import parse_json
from kdpipe.data.stored import StoredTable, field, is_stored
from kdpipe.data.telling import is_plain, listed, reason
from kdpipe.errors import DataError, quoted, suggest

# Characters of a CSV cell; more is taken for a quotation that does not end.
LONGEST_CELL = 1 << 24


# What stands between the cells of files that are called by another name.
DELIMITERS = (";", "\t", "|", ",")


class Form(NamedTuple):
    """How the text of tables is written; stored ones say it themselves.

    Args:
        delimiter: the character between the cells of TSV and CSV; by default a tab or a comma.
        encoding: the encoding, as Python names it.
    """

    delimiter: str | None = None
    encoding: str = UTF8


AS_USUAL = Form()


class Row(NamedTuple):
    """A row of a table.

    Args:
        line: the line that it begins on, from 1; in a stored table, which row it is.
        cells: column name to value: a text in TSV and CSV, else what the file has.
    """

    line: int
    cells: Mapping[str, Any]


class Table(Protocol):
    """A file of rows."""

    def columns(self) -> Collection[str]:
        """Return the names of the columns; of JSONL those of its first row."""
        ...

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names of a column's classes in their order, if the file declares them."""
        ...

    def cells(self, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the line and the cells of each row."""
        ...


def open_table(file: Path, form: Form = AS_USUAL) -> Table:
    """Return a table by the ending of its file's name; a folder is one of `save_to_disk`.

    TSV: tabs separate cells, and quotation marks are text. CSV: as RFC 4180 has it, so that a cell in
    quotation marks may hold commas and line ends. The two may have another delimiter. JSONL: an object a
    line. `.gz` may follow all three. JSON and Parquet: `kdpipe.data.stored`. In the last three a column may
    be a field in another, such as `review.title`.

    Raises:
        DataError: the ending is none of them.
    """
    if file.is_dir():
        return StoredTable(file)
    ending = file.suffix
    if ending == ".gz":
        ending = "".join(file.suffixes[-2:])
    if ending not in SUFFIXES:
        raise DataError(f"{file}: expected a name that ends in {', '.join(SUFFIXES)}; rename or convert it")
    return FORMATS[ending.removesuffix(".gz")](file, form)


def read_rows(file: Path, columns: Sequence[str], form: Form = AS_USUAL) -> Iterator[Row]:
    """Yield the rows of a table.

    Args:
        file: the file.
        columns: the columns that are needed; a row may have others too.
        form: how its text is written.

    Raises:
        DataError: the file is missing, malformed or empty, or lacks a column.
    """
    table = open_table(file, form)
    check_columns(f"{file}:1", columns, table.columns())
    line = 0
    for line, cells in table.cells(columns):
        yield Row(line, cells)
    if not line:
        raise no_rows(file)


def begins(file: Path) -> bool:
    """Tell whether the beginning of a table can be read without `datasets`, as checks of configs do."""
    return not is_stored(file) and file.suffix != ".json"


def check_names(file: Path, columns: Sequence[str]) -> None:
    """Raise DataError if a Parquet file lacks a column; other stored tables are not looked at."""
    if file.suffix == ".parquet":
        check_columns(f"{file}:1", columns, open_table(file).columns())


def check_columns(where: str, needed: Sequence[str], found: Collection[str]) -> None:
    """Raise DataError if a column is not among those found, or is there twice."""
    check_single(where, needed, found)
    for name in needed:
        if name not in found:
            hint = _delimiter(name, found) or suggest(name, filter(is_plain, found))
            raise DataError(f"{where}: expected a column {name!r}, found {listed(found)}; {hint}")


def _delimiter(needed: str, found: Collection[str]) -> str:
    """Return the remedy where a header was not cut at what stands between its names, else nothing."""
    for mark in DELIMITERS:
        if any(needed in cell.split(mark) for cell in found if mark in cell):
            return f"give `delimiter: {json.dumps(mark)}`"
    return ""


def check_single(where: str, needed: Iterable[str], found: Collection[str]) -> None:
    """Raise DataError if a column is there twice."""
    names = list(found)
    for name in needed:
        if names.count(name) > 1:
            raise DataError(
                f"{where}: expected one column {name!r}, found {names.count(name)}; rename or remove others"
            )


class DelimitedTable:
    """A table whose first line names the columns.

    Args:
        file: the file.
        records: reads the cells of each of its rows, the header first.
        form: how its text is written.
    """

    def __init__(
        self, file: Path, records: Callable[[Path, Form], Iterator[tuple[int, list[str]]]], form: Form
    ) -> None:
        self._file = file
        self._form = form
        self._records = records

    def columns(self) -> Collection[str]:
        """Return the cells of the header."""
        return next(self._records(self._file, self._form))[1]

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return None: such files declare no classes."""
        return None

    def cells(self, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the rows below the header, which all are as wide as that."""
        records = self._records(self._file, self._form)
        _, header = next(records)
        for line, cells in records:
            if len(cells) != len(header):
                raise DataError(
                    f"{self._file}:{line}: expected {len(header)} columns as in the header, found"
                    f" {len(cells)}; mend or remove the row"
                )
            yield line, dict(zip(header, cells, strict=True))


class JsonlTable:
    """A table of JSON objects, one a line.

    Args:
        file: the file.
        form: how its text is written.
    """

    def __init__(self, file: Path, form: Form) -> None:
        self._file = file
        self._encoding = form.encoding

    def columns(self) -> Collection[str]:
        """Return the keys of the first row, and those of the objects in it."""
        return list(_keys(next(self.cells(()))[1]))

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return None: such files declare no classes."""
        return None

    def cells(self, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the objects, which all have the columns as keys."""
        for number, line in without_blank_end(read_lines(self._file, self._encoding), self._file):
            where = f"{self._file}:{number}"
            row = parse_json(line, self._file, number)
            if not isinstance(row, dict):
                raise DataError(
                    f'{where}: expected a JSON object, such as {{"text": …}}, found {quoted(row)}'
                )
            if "\\ud" in line.lower():
                _check_whole(row, where)
            missing = [name for name in columns if name not in row]
            row |= {name: value for name in missing if (value := field(row, name)) is not None}
            check_columns(where, columns, row)
            yield number, row


def _keys(row: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in row.items():
        yield f"{above}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{above}{key}.")


def _check_whole(row: Mapping[str, Any], where: str) -> None:
    """Raise DataError if half of a surrogate pair is among the texts, which JSON may spell but is no text."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise DataError(
            f"{where}: expected text, found {half}, half of a surrogate pair; mend or remove the line"
        ) from None


def _tsv(file: Path, form: Form) -> Table:
    return DelimitedTable(file, _tsv_records, form)


def _csv(file: Path, form: Form) -> Table:
    return DelimitedTable(file, _csv_records, form)


def _stored(file: Path, form: Form) -> Table:
    return StoredTable(file)


def _tsv_records(file: Path, form: Form) -> Iterator[tuple[int, list[str]]]:
    lines = without_blank_end(read_lines(file, form.encoding), file)
    return ((number, line.split(form.delimiter or "\t")) for number, line in lines)


def _csv_records(file: Path, form: Form) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LONGEST_CELL)
    lines = without_blank_end(read_raw_lines(file, form.encoding), file)
    reader = csv.reader((line for _, line in lines), delimiter=form.delimiter or ",", strict=True)
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{file}:{line}: expected delimited values as in RFC 4180, found: {reason(error)}; put"
                " cells with delimiters, quotation marks or line ends in quotation marks, and double those in"
                " them"
            ) from None


FORMATS: Mapping[str, Callable[[Path, Form], Table]] = {
    ".tsv": _tsv,
    ".csv": _csv,
    ".jsonl": JsonlTable,
    ".json": _stored,
    ".parquet": _stored,
}
SUFFIXES = (*FORMATS, ".tsv.gz", ".csv.gz", ".jsonl.gz")
