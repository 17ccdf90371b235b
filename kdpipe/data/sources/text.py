"""Plain text: one example per line."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from kdpipe.data.columns import text_cell
from kdpipe.data.files import USUAL_NAMES, FileSource, SplitFiles
from kdpipe.data.lines import read_lines
from kdpipe.data.source import FIRST, Example
from kdpipe.data.stored import is_stored
from kdpipe.data.table_files import check_names, read_rows
from kdpipe.errors import DataError

_SUFFIXES = (".txt", ".txt.gz")
# The column of text in a table.
COLUMN = "text"


class TextSource(FileSource):
    """The lines of text files that are not blank, or the rows of a stored column `text`.

    Files that end in `.gz` are unpacked.

    Args:
        task: `language_modeling`.
        path: a file, or a pattern such as `texts/*.txt`, which is the train split; or a folder with
            `train.txt`, `validation.txt` (or `valid.txt`, `dev.txt`) and `test.txt`, as far as they exist.
        files: split name to file or pattern; overrides `path`.
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
        super().__init__(SplitFiles(path, files, USUAL_NAMES, _SUFFIXES), encoding)

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per line that is not blank.

        Its id is `split:line`, with the name of the file between where a pattern matches several.
        """
        return self._examples(split)

    def peek(self, split: str) -> Iterator[Example]:
        """Yield the first lines of each file that are not blank."""
        return self._examples(split, FIRST)

    def _examples(self, split: str, most: int | None = None) -> Iterator[Example]:
        for prefix, file in self._files.parts(split):
            if most is not None and is_stored(file):
                check_names(file, [COLUMN])
            else:
                yield from islice(self._lines(prefix, file), most)

    def _lines(self, prefix: str, file: Path) -> Iterator[Example]:
        blank = True
        for number, line in self._texts(file):
            if text := line.strip():
                blank = False
                yield Example(f"{prefix}:{number}", text)
        if blank:
            raise DataError(f"{file}:1: expected lines of text, found only blank ones")

    def _texts(self, file: Path) -> Iterator[tuple[int, str]]:
        if not is_stored(file):
            return read_lines(file, self._encoding)
        return (
            (number, text_cell(cells[COLUMN], COLUMN, f"{file}:{number}"))
            for number, cells in read_rows(file, [COLUMN])
        )
