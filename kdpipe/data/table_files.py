"""The rows of TSV, CSV, JSONL and stored tables, one at a time, each with its line number."""

import csv
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from kdpipe.data.lines import UTF8, no_rows, parse_json, read_row_lines
from kdpipe.data.stored import StoredTable, field, is_stored
from kdpipe.errors import DataError, is_plain, listed, quoted, reason, suggest

# A warning about a file comes once, however often the file is read.
warn_once = cache(logging.getLogger(__name__).warning)
# A CSV cell of more characters is taken for a quotation that does not end.
LONGEST_CELL = 1 << 24
# The delimiters of files that have the name of another format.
DELIMITERS = (";", "\t", "|", ",")


class Form(NamedTuple):
    """How the text of a table is written; a stored table declares this itself.

    Args:
        delimiter: the character between the cells of TSV and CSV; by default a tab or a comma.
        encoding: the encoding, as Python names it.
        header: the names of the columns where the first line has none of these names.
        short_rows: whether rows with too few cells are skipped.
    """

    delimiter: str | None = None
    encoding: str = UTF8
    header: tuple[str, ...] = ()
    short_rows: bool = False


USUAL_FORM = Form()


class TableFile(Protocol):
    """A file of rows."""

    def columns(self) -> Collection[str]:
        """Return the names of the columns; JSONL has the names in its first row."""
        ...

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names of a column's classes in their order; None if the file declares no classes."""
        return None

    def cells(self, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the line and the cells of each row."""
        ...


def open_table(file: Path, form: Form = USUAL_FORM) -> TableFile:
    """Return a table by the ending of its file's name; a folder is one of `save_to_disk`.

    TSV: tabs separate cells, and quotation marks are text. CSV: as in RFC 4180, so that a cell in
    quotation marks may hold commas and line ends. The two may have another delimiter. JSONL: one object a
    line. `.gz` may follow all three. JSON and Parquet: `kdpipe.data.stored`. In JSONL, JSON and Parquet a
    column may be a field of another column, such as `review.title`.
    """
    if file.is_dir():
        return StoredTable(file)
    ending = "".join(file.suffixes[-2:]) if file.suffix == ".gz" else file.suffix
    if ending not in SUFFIXES:
        raise DataError(f"{file}: expected a name that ends in {', '.join(SUFFIXES)}; rename or convert it")
    return FORMATS[ending.removesuffix(".gz")](file, form)


def read_rows(
    file: Path, columns: Sequence[str], form: Form = USUAL_FORM
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the line on which each row of a table begins, from 1, and the cells of the row by column.

    TSV and CSV have texts only. A stored table has numbers of rows in place of lines.

    Args:
        file: the file.
        columns: the columns that are needed; a row may have others too.
        form: how the text of the file is written.

    Raises:
        DataError: the file is missing, malformed or empty, or lacks a column.
    """
    table = open_table(file, form)
    check_columns(f"{file}:1", columns, table.columns())
    rows = table.cells(columns)
    first = next(rows, None)
    if first is None:
        raise no_rows(file)
    yield first
    yield from rows


def begins(file: Path) -> bool:
    """Tell whether the beginning of a table can be read without `datasets`, as checks of configs do."""
    return not is_stored(file) and file.suffix != ".json"


def check_names(file: Path, columns: Sequence[str]) -> None:
    """Raise DataError if a Parquet file lacks a column; other stored tables are not opened."""
    if file.suffix == ".parquet":
        check_columns(f"{file}:1", columns, open_table(file).columns())


def check_columns(where: str, needed: Sequence[str], columns: Collection[str]) -> None:
    """Raise DataError if a needed column is missing or occurs twice."""
    names = list(columns)
    for name in needed:
        if names.count(name) > 1:
            raise DataError(
                f"{where}: expected one column {name!r}, found {names.count(name)}; rename or remove others"
            )
        if name not in names:
            remedy = _delimiter(name, names) or suggest(name, filter(is_plain, names))
            raise DataError(f"{where}: expected a column {name!r}, found {listed(names)}; {remedy}")


def _delimiter(needed: str, header: Sequence[str]) -> str:
    """Return the remedy for a header that has another delimiter, else nothing."""
    for mark in DELIMITERS:
        if any(needed in cell.split(mark) for cell in header if mark in cell):
            return f"give `delimiter: {json.dumps(mark)}`"
    return ""


class DelimitedTable(TableFile):
    """A table whose first line names the columns, unless its form does.

    Args:
        records: reads the cells of each line of the file.
        file: the file.
        form: how the text of the file is written.
    """

    def __init__(
        self, records: Callable[[Path, Form], Iterator[tuple[int, list[str]]]], file: Path, form: Form
    ) -> None:
        self._file = file
        self._form = form
        self._records = partial(records, file, form)

    def columns(self) -> Collection[str]:
        """Return the cells of the header."""
        return self._open()[0]

    def cells(self, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the rows below the header, which all have as many cells as the header."""
        header, lines = self._open()
        short, width = [], len(header)
        for line, cells in lines:
            if len(cells) == width:
                yield line, dict(zip(header, cells, strict=True))
            elif len(cells) < width and self._form.short_rows:
                short.append(line)
            else:
                raise DataError(
                    f"{self._file}:{line}: expected {width} columns ({listed(header)}), found"
                    f" {len(cells)}; mend or remove the row"
                )
        if short:
            warn_once(f"{self._file}: skipped {len(short)} rows that are too short, first line {short[0]}")

    def _open(self) -> tuple[Sequence[str], Iterator[tuple[int, list[str]]]]:
        """Return the header, and the lines below it."""
        lines, header = self._records(), self._form.header
        start, first = next(lines)
        if set(first).intersection(header or first):
            return first, lines
        return header, chain([(start, first)], lines)


class JsonlTable(TableFile):
    """A table of JSON objects, one a line.

    Args:
        file: the file.
        form: how the text of the file is written.
    """

    def __init__(self, file: Path, form: Form) -> None:
        self._file = file
        self._encoding = form.encoding

    def columns(self) -> Collection[str]:
        """Return the keys of the first row, and the keys of the objects in it."""
        return list(_keys(next(self.cells(()))[1]))

    def cells(self, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the objects, which all have the columns as keys."""
        for number, line in read_row_lines(self._file, self._encoding):
            where = f"{self._file}:{number}"
            row = parse_json(line.rstrip("\r\n"), self._file, number)
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
    """Raise DataError if a text has half of a surrogate pair, which JSON can spell but no text can hold."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise DataError(
            f"{where}: expected text, found {half}, half of a surrogate pair; mend or remove the line"
        ) from None


def _tsv_records(file: Path, form: Form) -> Iterator[tuple[int, list[str]]]:
    delimiter = form.delimiter or "\t"
    for number, line in read_row_lines(file, form.encoding):
        yield number, line.rstrip("\r\n").split(delimiter)


def _csv_records(file: Path, form: Form) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LONGEST_CELL)
    lines = (line for _, line in read_row_lines(file, form.encoding))
    reader = csv.reader(lines, delimiter=form.delimiter or ",", strict=True)
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


FORMATS: Mapping[str, Callable[[Path, Form], TableFile]] = {
    ".tsv": partial(DelimitedTable, _tsv_records),
    ".csv": partial(DelimitedTable, _csv_records),
    ".jsonl": JsonlTable,
    ".json": lambda file, form: StoredTable(file),
    ".parquet": lambda file, form: StoredTable(file),
}
SUFFIXES = (*FORMATS, ".tsv.gz", ".csv.gz", ".jsonl.gz")
