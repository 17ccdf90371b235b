"""Local data files: which files hold which split, and reading them line by line."""

import gzip
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

from kdpipe.config.settings.dataset import matching
from kdpipe.data.source import STANDARD_SPLITS, TEST, TRAIN, VALIDATION
from kdpipe.data.telling import reason
from kdpipe.errors import DataError

GZIP = b"\x1f\x8b"
# What the files of a split are called where there is no official name.
USUAL = {TRAIN: ("train",), VALIDATION: ("validation", "valid", "dev"), TEST: ("test",)}


@dataclass(frozen=True)
class SplitFiles:
    """The files of a dataset by split.

    Args:
        path: folder that holds the files of `layout`; or a file, or a pattern of files, which are train.
        files: split name to file or pattern; stands before what `path` has for the same split.
        layout: split name to the file names it goes by.
        suffixes: what those names may end in.
    """

    path: Path | None
    files: Mapping[str, Path]
    layout: Mapping[str, tuple[str, ...]]
    suffixes: tuple[str, ...] = ("",)

    def names(self) -> tuple[str, ...]:
        """Return the splits that have a file: train, validation, test, then others by name.

        Raises:
            DataError: there is no file at all, or a split has several in the folder.
        """
        found = self._found()
        if not found:
            raise DataError(self._nothing_found())
        return in_order(found)

    def file(self, split: str) -> Path:
        """Return the file of a split.

        Raises:
            DataError: the split has no file.
        """
        if split not in self.names():
            raise DataError(f"expected a split {split!r}, found {', '.join(self.names())}")
        return self._found()[split]

    def parts(self, split: str) -> list[tuple[str, Path]]:
        """Return the files of a split in sorted order, each with what the ids of its examples begin with.

        Raises:
            DataError: the split has no file.
        """
        pattern = self.file(split)
        files = matching(pattern)
        if not files:
            raise DataError(_not_found(pattern))
        return named_parts(split, files)

    def _found(self) -> dict[str, Path]:
        return {**self._usual(), **self.files}

    def _usual(self) -> dict[str, Path]:
        if self.path is None:
            return {}
        if not self.path.is_dir():
            return {TRAIN: self.path} if matching(self.path) else {}
        found: dict[str, Path] = {}
        for split in self.layout.keys() - self.files.keys():
            names = [f"{name}{suffix}" for name in self.layout[split] for suffix in self.suffixes]
            # Also what is no file, or a link to nothing: it is meant, and reading it says what it is.
            there = [name for name in names if os.path.lexists(self.path / name)]
            if len(there) > 1:
                raise DataError(
                    f"{self.path}: expected one file of the split {split!r}, found {', '.join(there)}; remove"
                    " the others, or give the one that is meant by its split"
                )
            if there:
                found[split] = self.path / there[0]
        return found

    def _nothing_found(self) -> str:
        expected = ", ".join(" or ".join(names) for names in self.layout.values())
        if any(self.suffixes):
            expected += f", each ending in {' or '.join(self.suffixes)}"
        found = "no `path` and no files" if self.path is None else f"none of them in {self.path}"
        return (
            f"expected data files {expected}; found {found}. Give the folder as `path`, or each"
            " file by its split; relative paths start at `data_dir`, which the environment's"
            " KDPIPE_DATA can set"
        )


def in_order(splits: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of splits: train, validation, test, then others by name."""
    others = sorted(set(splits) - set(STANDARD_SPLITS))
    return tuple(split for split in (*STANDARD_SPLITS, *others) if split in splits)


def named_parts(split: str, files: Sequence[Path]) -> list[tuple[str, Path]]:
    """Return files of a split, each with the start of its ids: the split and, of several files, the name."""
    if len(files) == 1:
        return [(split, files[0])]
    folder = os.path.commonpath([file.parent for file in files])
    return [(f"{split}:{file.relative_to(folder).as_posix()}", file) for file in files]


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file without their ends, numbered from 1; a `.gz` is unpacked.

    Only a line feed ends a line: the other separators that Unicode knows occur inside texts.

    Raises:
        DataError: the file is missing, no text in UTF-8, or empty.
    """
    for number, line in read_raw_lines(file):
        yield number, line.rstrip("\r\n")


def read_raw_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines as `read_lines` does, with their ends."""
    check_file(file)
    number = 0
    try:
        with _open(file) as lines:
            for number, line in enumerate(lines, start=1):
                if number == 1:
                    _check_first(line, file)
                yield number, _decode(line, file, number)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(
            f"{file}:{number + 1}: expected a whole gzip file, found: {reason(error)}; fetch or pack it again"
        ) from None
    except OSError as error:
        raise _unreadable(file, error) from None
    if number == 0:
        raise DataError(f"{file}:1: expected at least one line, found an empty file")


def without_blank_end(lines: Iterator[tuple[int, str]], file: Path) -> Iterator[tuple[int, str]]:
    """Pass numbered lines on, apart from those at the end that are empty or of blanks.

    Args:
        lines: the lines.
        file: where they come from.

    Raises:
        DataError: all are blank.
    """
    held: list[tuple[int, str]] = []
    filled = False
    for number, line in lines:
        held.append((number, line))
        if line.strip(" \r\n"):
            filled = True
            yield from held
            held = []
    if not filled:
        raise no_rows(file)


def read_text(file: Path) -> str:
    """Return the text of a UTF-8 file that is no table of lines, such as JSON.

    Raises:
        DataError: the file is missing, no text in UTF-8, or empty.
    """
    return "\n".join(line for _, line in read_lines(file))


def check_file(file: Path) -> None:
    """Raise DataError if a path is that of no file; to open a pipe could wait for ever."""
    try:
        if file.is_file():
            return
        found = "a folder" if file.is_dir() else "a pipe, a socket or a device" if file.exists() else None
    except OSError as error:
        raise _unreadable(file, error) from None
    if found is None:
        raise DataError(_not_found(file))
    raise DataError(f"{file}: expected a file, found {found}; give the path of a file")


def no_rows(file: Path) -> DataError:
    """Return the error that a file has nothing to read in it."""
    return DataError(f"{file}: expected at least one row, found none; remove the file or get it again")


def _open(file: Path) -> BufferedIOBase:
    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")


def _not_found(file: Path) -> str:
    return (
        f"{file}: expected a file, found none; check the path: a relative one starts at"
        " `data_dir`, which the environment's KDPIPE_DATA can set"
    )


def _unreadable(file: Path, error: OSError) -> DataError:
    why = error.strerror or reason(error)
    return DataError(f"{file}: expected a file that can be read, found: {why}; check its mode and its disk")


def _check_first(line: bytes, file: Path) -> None:
    """Raise DataError if the first line of a file shows that it is packed, or ends its lines otherwise."""
    if line.startswith(GZIP):
        raise DataError(f"{file}: expected text, found what gzip has packed; rename it to end in .gz")
    if not line.endswith(b"\n") and b"\r" in line.rstrip(b"\r"):
        raise DataError(
            f"{file}:1: expected lines that end in line feeds, found only carriage returns; convert the file,"
            " for instance with `tr '\\r' '\\n'`"
        )


def _decode(line: bytes, file: Path, number: int) -> str:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}:{number}: expected UTF-8 text, found byte 0x{error.object[error.start]:02x}"
            f" at column {error.start + 1}; convert the file, for instance with iconv"
        ) from None
    if "\0" in text:
        raise DataError(
            f"{file}:{number}: expected UTF-8 text, found a NUL at column {text.index(chr(0)) + 1}; convert"
            " the file, for instance with iconv from UTF-16, or get it again if it is no text"
        )
    return text
