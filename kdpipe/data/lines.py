"""Text files and JSON of the user's: lines with their numbers, and messages that name file and line."""

import codecs
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any

from kdpipe.errors import DataError, quoted, reason

GZIP = b"\x1f\x8b"
UTF8 = "utf-8"
BYTE_ORDER = "\ufeff"


def read_lines(file: Path, encoding: str = UTF8) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file without their ends, numbered from 1; a `.gz` is unpacked.

    Only a line feed ends a line: the other separators of Unicode occur inside texts.

    Args:
        file: the file.
        encoding: the encoding, as Python names it; a byte-order mark is left out.

    Raises:
        DataError: the file is missing, no text in this encoding, or empty.
    """
    for number, line in _whole_lines(file, encoding):
        yield number, line.rstrip("\r\n")


def read_row_lines(file: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their ends, numbered as by `read_lines`, apart from blank lines at the end."""
    blank: list[tuple[int, str]] = []
    filled = False
    for numbered in _whole_lines(file, encoding):
        if not numbered[1].strip(" \r\n"):
            blank.append(numbered)
            continue
        filled = True
        if blank:
            yield from blank
            blank = []
        yield numbered
    if not filled:
        raise no_rows(file)


def _whole_lines(file: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their ends."""
    check_file(file)
    number = 0
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as content:
            if content.peek(len(GZIP)).startswith(GZIP):
                raise DataError(f"{file}: expected text, found what gzip has packed; rename it to end in .gz")
            text = TextIOWrapper(content, encoding, newline="\n")
            try:
                for number, line in enumerate(text, start=1):
                    special = number == 1 or "\0" in line
                    yield number, _checked(line, file, number, encoding) if special else line
            except UnicodeError:
                content.seek(0)
                raise _wrong_encoding(content, file, encoding) from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(
            f"{file}:{number + 1}: expected a whole gzip file, found: {reason(error)}; fetch or pack it again"
        ) from None
    except OSError as error:
        raise _unreadable(file, error) from None
    if number == 0:
        raise DataError(f"{file}:1: expected at least one line, found an empty file")


def parse_json(text: str, place: object, line: int = 1) -> Any:
    """Return the value of a JSON text.

    Args:
        text: the text.
        place: the name of its file.
        line: the line of the file on which the text begins.

    Raises:
        DataError: the text is no JSON, is nested too deeply, has a number that is too long, or has an object
            with a key twice, whose first value would be lost.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        line += error.lineno - 1
        fault = f"a mistake at column {error.colno} ({error.msg})"
    except RecursionError:
        fault = "lists or objects in each other that are too many to read"
    except ValueError as error:
        # The rest of the message tells programmers how to read more digits.
        fault = reason(error).partition(";")[0]
    raise DataError(f"{place}:{line}: expected JSON, found {fault}; mend it or get the file again")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {quoted(twice)} twice in one object")
    return entries


def check_file(file: Path) -> None:
    """Raise DataError if a path names no file; opening a pipe could wait for ever."""
    try:
        if file.is_file():
            return
        kind = "a folder" if file.is_dir() else "a pipe, a socket or a device" if file.exists() else None
    except OSError as error:
        raise _unreadable(file, error) from None
    if kind is None:
        raise DataError(not_found(file))
    raise DataError(f"{file}: expected a file, found {kind}; give the path of a file")


def no_rows(file: Path) -> DataError:
    """Return the error about a file without rows."""
    return DataError(f"{file}: expected at least one row, found none; remove the file or get it again")


def not_found(file: Path) -> str:
    """Return the message about a file that does not exist."""
    return (
        f"{file}: expected a file, found none; check the path: a relative one starts at"
        " `data_dir`, which the environment's KDPIPE_DATA can set"
    )


def _unreadable(file: Path, error: OSError) -> DataError:
    why = error.strerror or reason(error)
    return DataError(f"{file}: expected a file that can be read, found: {why}; check its mode and its disk")


def _checked(line: str, file: Path, number: int, encoding: str) -> str:
    """Return a line without a byte-order mark, if all its characters belong to text."""
    if "\0" in line:
        raise DataError(
            f"{file}:{number}: expected {_named(encoding)} text, found a NUL at column"
            f" {line.index(chr(0)) + 1}; give the `encoding` that it has, such as utf-16-le, convert it, or"
            " get it again if it is no text"
        )
    if number > 1:
        return line
    if "\r" in line.rstrip("\r") and not line.endswith("\n"):
        raise DataError(
            f"{file}:1: expected lines that end in line feeds, found only carriage returns; convert the file,"
            " for instance with `tr '\\r' '\\n'`"
        )
    return line.removeprefix(BYTE_ORDER)


def _wrong_encoding(content: Iterable[bytes], file: Path, encoding: str) -> DataError:
    """Return the error about the first bytes of a file that are no text in an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    number, fault, likely = 1, "", "latin-1"
    for piece in chain(content, [b""]):
        try:
            number += decoder.decode(piece, final=not piece).count("\n")
        except UnicodeError as error:
            fault = reason(error)
            if isinstance(error, UnicodeDecodeError):
                fault = f"byte 0x{error.object[error.start]:02x} at column {error.start + 1}"
            if piece.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                likely = "utf-16"
            break
    return DataError(
        f"{file}:{number}: expected {_named(encoding)} text, found {fault}; give the `encoding` that it has,"
        f" such as {likely}, or convert the file, for instance with iconv"
    )


def _named(encoding: str) -> str:
    return "UTF-8" if encoding == UTF8 else encoding
