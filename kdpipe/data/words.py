"""Sentences of a file that has a word a line, its tag in a column of the same line."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kdpipe.data.labels import class_name
from kdpipe.data.lines import UTF8, read_lines
from kdpipe.data.schemes import is_tag
from kdpipe.errors import DataError, quoted

BLANKS = re.compile(r"[ \t]+")
DOCUMENT = "-DOCSTART-"
COMMENT = "#"
# The columns of a file with tags; one column is words alone.
WIDTHS = (2, 4)


class Word(NamedTuple):
    """A word, its tag if the file has any, and the line it stands on."""

    line: int
    text: str
    tag: str | None


class WordFile:
    """A file of words.

    Args:
        file: the file.
        may_lack: whether it may have words alone, in one column.
        encoding: its encoding.

    Attributes:
        comments: the lines before sentences that were taken for comments when it was read last.
    """

    def __init__(self, file: Path, may_lack: bool, encoding: str = UTF8) -> None:
        self.file = file
        self.comments = 0
        self._may_lack = may_lack
        self._encoding = encoding
        self._width = 0

    def sentences(self) -> Iterator[list[Word]]:
        """Yield the words of each sentence.

        Raises:
            DataError: a line is malformed.
        """
        self.comments = self._width = 0
        sentence: list[Word] = []
        for number, line in read_lines(self.file, self._encoding):
            cells = BLANKS.split(line.strip(" \t"))
            if cells[0] in ("", DOCUMENT):
                if sentence:
                    yield sentence
                sentence = []
            elif not sentence and self._is_comment(cells):
                self.comments += 1
            else:
                sentence.append(self._word(cells, number))
        if sentence:
            yield sentence

    def _is_comment(self, cells: list[str]) -> bool:
        """Tell a comment from a word that begins with the same sign, such as a hash tag."""
        return cells[0].startswith(COMMENT) and not (
            self._fits(len(cells)) and (len(cells) == 1 or is_tag(cells[-1]))
        )

    def _fits(self, width: int) -> bool:
        return width == (self._width or width) and width in self._widths

    @property
    def _widths(self) -> tuple[int, ...]:
        return (1, *WIDTHS) if self._may_lack else WIDTHS

    def _word(self, cells: list[str], line: int) -> Word:
        where = f"{self.file}:{line}"
        self._width = self._width or len(cells)
        if not self._fits(len(cells)):
            usual = " or ".join(map(str, self._widths))
            first = f"{self._width} columns as in the first line"
            expected = first if self._width in self._widths else f"{usual} columns"
            raise DataError(f"{where}: expected {expected}, found {len(cells)}; mend or remove the line")
        if len(cells) == 1:
            return Word(line, cells[0], None)
        tag = cells[-1]
        if not is_tag(tag):
            raise DataError(
                f"{where}: expected a tag O, B-TYPE or I-TYPE (IOB1, IOB2), or E-TYPE or S-TYPE (IOBES),"
                f" found {quoted(tag)}; convert other schemes first"
            )
        return Word(line, cells[0], class_name(tag, where))
