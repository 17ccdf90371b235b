"""Sentences of files that have a word and its tag a line, and of tables that have lists of both a row."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kdpipe.data.labels import class_name
from kdpipe.data.lines import UTF8, read_lines
from kdpipe.data.schemes import is_tag
from kdpipe.data.tables import open_table, read_rows
from kdpipe.errors import DataError, quoted

BLANKS = re.compile(r"[ \t]+")
DOCUMENT = "-DOCSTART-"
COMMENT = "#"
# The columns of a file with tags; one column is words alone.
WIDTHS = (2, 4)
NAMED = "name the columns of words and tags, from 0, such as `columns: {word: 1, tag: 2}`"


@dataclass(frozen=True)
class WordColumns:
    """Which columns of a line hold what, counted from 0.

    Args:
        word: that of the word.
        tag: that of its tag; by default the last of two or four.
        may_lack: whether lines may lack the tag.
    """

    word: int = 0
    tag: int | None = None
    may_lack: bool = False

    def tag_of(self, width: int) -> int | None:
        """Return the column of the tag in lines of some width, None where they have none."""
        last = (width - 1) or None
        return last if self.tag is None else self.tag if self.tag < width else None

    def fit(self, width: int) -> bool:
        """Tell whether lines may have some width."""
        if self.tag is None:
            return width in self._widths
        return width > (self.word if self.may_lack else max(self.word, self.tag))

    @property
    def expected(self) -> str:
        """How many columns there may be, for errors."""
        if self.tag is None:
            return " or ".join(map(str, self._widths))
        return f"more than {self.word if self.may_lack else max(self.word, self.tag)}"

    @property
    def _widths(self) -> tuple[int, ...]:
        return (1, *WIDTHS) if self.may_lack else WIDTHS


class Word(NamedTuple):
    """A word, its tag if the file has any, and the line it stands on."""

    line: int
    text: str
    tag: str | None


class WordFile:
    """A file of words.

    Args:
        file: the file.
        columns: which of its columns hold what.
        encoding: its encoding.

    Attributes:
        comments: the lines before sentences that were taken for comments when it was read last.
    """

    def __init__(self, file: Path, columns: WordColumns, encoding: str = UTF8) -> None:
        self.file = file
        self.comments = 0
        self._columns = columns
        self._encoding = encoding
        self._width = 0

    def sentences(self) -> Iterator[list[Word]]:
        """Yield the words of each sentence.

        Raises:
            DataError: a line is malformed.
        """
        self.comments = self._width = 0
        unsure = self._columns.tag is None
        for sentence in self._sentences():
            if unsure and len(sentence) > 1:
                self._check_no_numbers(sentence)
                unsure = False
            yield sentence

    def _sentences(self) -> Iterator[list[Word]]:
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

    def _check_no_numbers(self, sentence: list[Word]) -> None:
        """Raise DataError if what was taken for the words of a sentence counts them."""
        first = sentence[0].text
        counted = [str(number) for number in range(int(first == "1"), len(sentence) + int(first == "1"))]
        if [word.text for word in sentence] == counted:
            raise DataError(
                f"{self.file}:{sentence[0].line}: expected words in the first column, found numbers in order;"
                f" {NAMED}"
            )

    def _is_comment(self, cells: list[str]) -> bool:
        """Tell a comment from a word that begins with the same sign, such as a hash tag."""
        tag = self._columns.tag_of(len(cells))
        word = len(cells) == 1 if tag is None else is_tag(cells[tag])
        fits = self._columns.word == 0 and self._fits(len(cells))
        return cells[0].startswith(COMMENT) and not (word and fits)

    def _fits(self, width: int) -> bool:
        return width == (self._width or width) and self._columns.fit(width)

    def _word(self, cells: list[str], line: int) -> Word:
        where, columns = f"{self.file}:{line}", self._columns
        self._width = self._width or len(cells)
        if not self._fits(len(cells)):
            raise DataError(f"{where}: {self._wrong_width(len(cells))}")
        place = columns.tag_of(len(cells))
        if place is None:
            return Word(line, cells[columns.word], None)
        return Word(line, cells[columns.word], _checked_tag(cells[place], where))

    def _wrong_width(self, found: int) -> str:
        if self._columns.fit(self._width):
            return (
                f"expected {self._width} columns as in the first line, found {found}; mend or remove the line"
            )
        return (
            f"expected {self._columns.expected} columns, found {found}; mend or remove the line, or {NAMED}"
        )


class WordTable:
    """A stored table of sentences.

    Args:
        file: the table.
        word: the column of words.
        tag: the column of tags, by name or by the numbers of declared classes.
        may_lack: whether the table may lack the tags.
    """

    comments = 0

    def __init__(
        self, file: Path, word: str = "tokens", tag: str = "ner_tags", may_lack: bool = False
    ) -> None:
        self._file = file
        self._word, self._tag, self._may_lack = word, tag, may_lack

    def tags(self) -> tuple[str, ...]:
        """Return the tags that the table declares."""
        return open_table(self._file).class_names(self._tag) or ()

    def sentences(self) -> Iterator[list[Word]]:
        """Yield the words of each sentence that has any.

        Raises:
            DataError: a cell is no list of words or tags, or a row has fewer of one.
        """
        lacks = self._may_lack and self._tag not in open_table(self._file).columns()
        for number, cells in read_rows(self._file, [self._word] if lacks else [self._word, self._tag]):
            where = f"{self._file}:{number}"
            words = _listed(cells[self._word], self._word, where)
            tags = [None] * len(words) if lacks else _listed(cells[self._tag], self._tag, where)
            if len(tags) != len(words):
                raise DataError(
                    f"{where}: expected a tag for each of {len(words)} words, found {len(tags)}; mend or"
                    " remove the row"
                )
            found = [
                (word, None if lacks else _checked_tag(tag, where))
                for word, tag in zip(words, tags, strict=True)
            ]
            if found:
                yield [Word(number, *pair) for pair in found]


def _listed(value: Any, column: str, where: str) -> list[str]:
    if isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value):
        return value
    raise DataError(
        f"{where}: expected a list of texts in column {column!r}, or of numbers of declared classes, found"
        f" {quoted(value)}; mend the row, or name the columns as `columns: {{word: …, tag: …}}`"
    )


def _checked_tag(tag: str | None, where: str) -> str:
    if tag is None or not is_tag(tag):
        raise DataError(
            f"{where}: expected a tag O, B-TYPE or I-TYPE (IOB1, IOB2), or E-TYPE or S-TYPE (IOBES),"
            f" found {quoted(tag)}; convert other schemes first"
        )
    return class_name(tag, where)
