"""Local data files: which file holds which split, and reading them line by line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kdpipe.data.source import STANDARD_SPLITS, TRAIN
from kdpipe.errors import DataError


@dataclass(frozen=True)
class SplitFiles:
    """The files of a dataset by split.

    Args:
        path: folder that holds the files of `layout`, or a single file, which is train.
        files: split name to file; stands before what `path` has for the same split.
        layout: split name to the file names it goes by, the first that exists is taken.
    """

    path: Path | None
    files: Mapping[str, Path]
    layout: Mapping[str, tuple[str, ...]]

    def names(self) -> tuple[str, ...]:
        """Return the splits that have a file: train, validation, test, then others by name.

        Raises:
            DataError: there is no file at all.
        """
        found = self._found()
        if not found:
            raise DataError(self._nothing_found())
        others = sorted(set(found) - set(STANDARD_SPLITS))
        return tuple(split for split in (*STANDARD_SPLITS, *others) if split in found)

    def file(self, split: str) -> Path:
        """Return the file of a split.

        Raises:
            DataError: the split has no file.
        """
        if split not in self.names():
            raise DataError(f"expected a split {split!r}, found {', '.join(self.names())}")
        return self._found()[split]

    def _found(self) -> dict[str, Path]:
        return {**self._usual(), **self.files}

    def _usual(self) -> dict[str, Path]:
        if self.path is None:
            return {}
        if self.path.is_file():
            return {TRAIN: self.path}
        candidates = [(split, self.path / name) for split, names in self.layout.items() for name in names]
        return {split: file for split, file in reversed(candidates) if file.is_file()}

    def _nothing_found(self) -> str:
        expected = ", ".join(" or ".join(names) for names in self.layout.values())
        found = "no `path` and no files" if self.path is None else f"none of them in {self.path}"
        return (
            f"expected data files {expected}; found {found}. Give the folder as `path`, or each"
            " file by its split; relative paths start at `data_dir`, which the environment's"
            " KDPIPE_DATA can set"
        )


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file without their ends, numbered from 1.

    Only a line feed ends a line: the other separators that Unicode knows occur inside texts.

    Raises:
        DataError: the file is missing, empty or not UTF-8.
    """
    if not file.is_file():
        raise DataError(
            f"{file}: expected a file, found none; check the path: a relative one starts at"
            " `data_dir`, which the environment's KDPIPE_DATA can set"
        )
    number = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            yield number, _decode(line, file, number)
    if number == 0:
        raise DataError(f"{file}:1: expected at least one line, found an empty file")


def read_text(file: Path) -> str:
    """Return the text of a UTF-8 file that is no table of lines, such as JSON.

    Raises:
        DataError: the file is missing, empty or not UTF-8.
    """
    return "\n".join(line for _, line in read_lines(file))


def _decode(line: bytes, file: Path, number: int) -> str:
    encoding = "utf-8-sig" if number == 1 else "utf-8"
    try:
        return line.rstrip(b"\r\n").decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}:{number}: expected UTF-8 text, found byte 0x{error.object[error.start]:02x}"
            f" at column {error.start + 1}; convert the file, for instance with iconv"
        ) from None
