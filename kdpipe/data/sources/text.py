"""Plain text: one example per line."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from kdpipe.data.files import USUAL, SplitFiles
from kdpipe.data.lines import read_lines
from kdpipe.data.source import FIRST, Example
from kdpipe.errors import DataError

_SUFFIXES = (".txt", ".txt.gz")


class TextSource:
    """The lines of text files that are not blank; files that end in `.gz` are unpacked.

    Args:
        task: `language_modeling`.
        path: a file, or a pattern such as `texts/*.txt`, which is the train split; or a folder with
            `train.txt`, `validation.txt` (or `valid.txt`, `dev.txt`) and `test.txt`, as far as they exist.
        files: split name to file or pattern; stands before `path`.
        encoding: how the text of the files is encoded, such as `utf-16` or `latin-1`.
    """

    tasks: tuple[str, ...] = ("language_modeling",)
    labels: tuple[str, ...] | None = None

    def __init__(
        self,
        *,
        task: str,
        path: Path | None = None,
        files: Mapping[str, Path] = MappingProxyType({}),
        encoding: str = "utf-8",
    ) -> None:
        self.task = task
        self._encoding = encoding
        self._files = SplitFiles(path, files, USUAL, _SUFFIXES)

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have a file."""
        return self._files.names()

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per line that is not blank.

        Its id is `split:line`, with the name of the file between where a pattern matches several.

        Raises:
            DataError: a file is missing, not in the encoding, or has no text.
        """
        return self._examples(split)

    def peek(self, split: str) -> Iterator[Example]:
        """Yield the first lines of each file that are not blank."""
        return self._examples(split, FIRST)

    def _examples(self, split: str, most: int | None = None) -> Iterator[Example]:
        for prefix, file in self._files.parts(split):
            yield from islice(self._lines(prefix, file), most)

    def _lines(self, prefix: str, file: Path) -> Iterator[Example]:
        blank = True
        for number, line in read_lines(file, self._encoding):
            if text := line.strip():
                blank = False
                yield Example(f"{prefix}:{number}", text)
        if blank:
            raise DataError(f"{file}:1: expected lines of text, found only blank ones")
