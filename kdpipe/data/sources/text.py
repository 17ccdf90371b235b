"""Plain text: one example per line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from kdpipe.data.files import SplitFiles, read_lines
from kdpipe.data.source import Example
from kdpipe.errors import DataError

_LAYOUT = {
    "train": ("train.txt",),
    "validation": ("validation.txt", "valid.txt"),
    "test": ("test.txt",),
}


class TextSource:
    """The lines of UTF-8 text files that are not blank.

    Args:
        task: `language_modeling`.
        path: a file, which is the train split, or a folder with `train.txt`, `validation.txt` (or
            `valid.txt`) and `test.txt`, as far as they exist.
        files: split name to file; stands before `path`.
    """

    tasks: tuple[str, ...] = ("language_modeling",)
    labels: tuple[str, ...] | None = None

    def __init__(
        self,
        *,
        task: str,
        path: Path | None = None,
        files: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        self.task = task
        self._files = SplitFiles(path, files, _LAYOUT)

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have a file."""
        return self._files.names()

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per line that is not blank; its id is `split:line`.

        Raises:
            DataError: the file is missing, not UTF-8, or has no text.
        """
        file = self._files.file(split)
        blank = True
        for number, line in read_lines(file):
            if text := line.strip():
                blank = False
                yield Example(f"{split}:{number}", text)
        if blank:
            raise DataError(f"{file}:1: expected lines of text, found only blank ones")
