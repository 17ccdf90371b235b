"""How the text of a user's file is written, and the first rows of a user's table."""

import codecs
import gzip
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from kdpipe.data.lines import UTF8
from kdpipe.data.table_files import DELIMITERS, Form, check_columns, open_table
from kdpipe.errors import DataError, KdpipeError

# The rows by which delimiters and columns are told apart.
ROWS = 1000
# The first bytes of text that is not UTF-8. UTF-32 stands first, as its bytes begin with the bytes of UTF-16.
BEGINS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def encoding_of(file: Path) -> str | None:
    """Return the encoding that the first bytes of a file tell, as Python names it; None for UTF-8."""
    start = b""
    # A file that cannot be read is told when its text is read.
    with suppress(OSError, EOFError), gzip.open(file) if file.suffix == ".gz" else file.open("rb") as content:
        start = content.read(4)
    return next((name for mark, name in BEGINS.items() if start.startswith(mark)), None)


def delimiter_of(file: Path, form: Mapping[str, str]) -> str | None:
    """Return the delimiter of a TSV or CSV file where another than the usual one divides its first rows.

    Args:
        file: the file.
        form: what else is known of how it is written, as settings.
    """
    fitting = (mark for mark in (None, *DELIMITERS) if _divides(file, {**form, "delimiter": mark}))
    return next(fitting, None)


def _divides(file: Path, form: Mapping[str, str | None]) -> bool:
    """Tell whether the first rows of a table have several cells, each row as many as the header."""
    table = open_table(file, _form(form))
    try:
        return len(table.columns()) > 1 and all(True for _ in islice(table.cells(()), ROWS))
    except DataError:
        return False


def _form(form: Mapping[str, str | None]) -> Form:
    return Form(form.get("delimiter"), form.get("encoding") or UTF8)


def first_rows(
    data: Path, form: Mapping[str, str], needed: Sequence[str]
) -> tuple[list[str], list[dict[str, object]]]:
    """Return the columns of a table, and its first rows.

    Args:
        data: the table.
        form: how it is written, as settings.
        needed: columns that it must have.

    Raises:
        KdpipeError: the table cannot be read, or lacks a column.
    """
    try:
        table = open_table(data, _form(form))
        names = [*table.columns()]
        check_columns(f"{data}:1", needed, names)
        return names, [dict(row) for _, row in islice(table.cells(names), ROWS)]
    except DataError as error:
        hint = "; here `--encoding` says it" if "give the `encoding`" in str(error) else ""
        raise KdpipeError(f"{error}{hint}") from None
