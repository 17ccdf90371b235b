"""Texts whose first character says their class."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from kdpipe.data.files import USUAL_NAMES, SplitFiles
from kdpipe.data.lines import read_lines
from kdpipe.data.source import FIRST, Example


class MarkedSource:
    """The lines of text files; a line that begins with the mark has the label 1, another line 0.

    Args:
        task: `classification`.
        path: a folder with `train.txt`, `validation.txt` and `test.txt`, as far as they exist.
        files: split name to file; stands before `path`.
        mark: the mark.
    """

    tasks: tuple[str, ...] = ("classification",)
    labels: tuple[str, ...] | None = ("0", "1")

    def __init__(
        self,
        *,
        task: str,
        path: Path | None = None,
        files: Mapping[str, Path] = MappingProxyType({}),
        mark: str = "+",
    ) -> None:
        self._files = SplitFiles(path, files, USUAL_NAMES, (".txt",))
        self._mark = mark

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have a file."""
        return self._files.names()

    def read(self, split: str) -> Iterator[Example]:
        """Yield an example for each line."""
        for number, line in read_lines(self._files.file(split)):
            label = str(int(line.startswith(self._mark)))
            yield Example(f"{split}:{number}", line.removeprefix(self._mark), label=label)

    def peek(self, split: str) -> Iterator[Example]:
        """Yield an example for each of the first lines."""
        return islice(self.read(split), FIRST)
