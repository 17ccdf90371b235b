"""Words and their tags: files have both on a line, tables have lists of both in a row.

Tags come in the schemes IOB1, IOB2, and IOBES, which also marks the ends of entities.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from kdpipe.data.labels import class_name
from kdpipe.data.lines import UTF8, read_lines
from kdpipe.data.table_files import open_table, read_rows
from kdpipe.errors import DataError, quoted

BLANKS = re.compile(r"[ \t]+")
DOCUMENT = "-DOCSTART-"
COMMENT = "#"
# The numbers of columns of a file with tags; a file of one column has words alone.
WIDTHS = (2, 4)
OUTSIDE = "O"
# The marks that begin and end an entity. In IOBES, S marks an entity of one word. BILOU has U for S, L for E.
BEGINS, ENDS = "BSU", "ESLU"
MARKS = {*BEGINS, *ENDS, "I"}
NAMED = "name the columns of words and tags, from 0, such as `columns: {word: 1, tag: 2}`"


def is_tag(text: str) -> bool:
    """Tell whether a text is a tag of one of the schemes."""
    return text == OUTSIDE or (text[:1] in MARKS and text[1:2] == "-" and len(text) > 2)


def to_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags such that every entity begins with B- and goes on with I-; tags in IOB2 stay.

    All schemes read alike, also mixed: an entity begins at B- and S-, and at a tag that follows another type
    or the end of an entity.
    """
    converted = []
    inside = None
    for tag in tags:
        kind = None if tag == OUTSIDE else tag[2:]
        starts = tag[0] in BEGINS or kind != inside
        converted.append(OUTSIDE if kind is None else f"{'B' if starts else 'I'}-{kind}")
        inside = None if tag[0] in ENDS else kind
    return tuple(converted)


def count_tags(tags: Sequence[str]) -> Counter[str]:
    """Return the number of tags of a sentence, and the numbers of tags that only some schemes have.

    IOB2 lacks the `converted` tags, IOB1 the `foreign` tags, and only IOBES has the `ends`.
    """
    changed = sum(tag != original for tag, original in zip(to_iob2(tags), tags, strict=True))
    before = ("", *tags)
    foreign = sum(tag[0] == "B" and tag[2:] != last[2:] for last, tag in zip(before, tags, strict=False))
    ends = sum(tag[0] in ENDS for tag in tags)
    return Counter(tagged=len(tags), converted=changed, foreign=foreign, ends=ends)


def scheme_in_words(counts: Mapping[str, int]) -> str:
    """Return the scheme of a file's tags and the number of converted tags, for the log."""
    if not counts["tagged"]:
        return "no tags"
    if not counts["converted"]:
        return "tags in IOB2"
    mixed = f"in part IOB1 and in part IOB2 ({counts['foreign']} tags)" if counts["foreign"] else "IOB1"
    return f"tags in {'IOBES' if counts['ends'] else mixed}, {counts['converted']} tags converted to IOB2"


class Word(NamedTuple):
    """A word, its tag if the file has any, and its line."""

    line: int
    text: str
    tag: str | None


class WordFile:
    """A file with a word and its tag on a line, and blank lines between sentences.

    Args:
        file: the file.
        word: the column of the word, from 0.
        tag: the column of the tag; by default the last of two or four.
        may_lack: whether lines may lack the tag.
        encoding: the encoding of the file.

    Attributes:
        comments: number of lines that the last reading took for comments before sentences.
    """

    def __init__(
        self, file: Path, word: int = 0, tag: int | None = None, may_lack: bool = False, encoding: str = UTF8
    ) -> None:
        self.file = file
        self.comments = 0
        self._word_column, self._tag_column, self._may_lack = word, tag, may_lack
        self._encoding = encoding
        self._widths = (1, *WIDTHS) if may_lack else WIDTHS
        self._most_needed = word if may_lack or tag is None else max(word, tag)
        self._width = 0

    def sentences(self) -> Iterator[list[Word]]:
        """Yield the words of each sentence."""
        self.comments = self._width = 0
        unsure = self._tag_column is None
        sentence: list[Word] = []
        for number, line in chain(read_lines(self.file, self._encoding), [(0, "")]):
            cells = BLANKS.split(line.strip(" \t"))
            if cells[0] in ("", DOCUMENT):
                if unsure and len(sentence) > 1:
                    self._check_no_numbers(sentence)
                    unsure = False
                if sentence:
                    yield sentence
                sentence = []
            elif not sentence and self._is_comment(cells):
                self.comments += 1
            else:
                sentence.append(self._word(cells, number))

    def _check_no_numbers(self, sentence: list[Word]) -> None:
        """Raise DataError if the words of a sentence are the numbers of its lines."""
        first = int(sentence[0].text == "1")
        if [word.text for word in sentence] == [str(first + number) for number in range(len(sentence))]:
            raise DataError(
                f"{self.file}:{sentence[0].line}: expected words in the first column, found numbers in order;"
                f" {NAMED}"
            )

    def _is_comment(self, cells: list[str]) -> bool:
        """Tell a comment from a word that begins with the same sign, such as a hash tag."""
        tag = self._tag_of(len(cells))
        word = len(cells) == 1 if tag is None else is_tag(cells[tag])
        fits = self._word_column == 0 and self._fits(len(cells))
        return cells[0].startswith(COMMENT) and not (word and fits)

    def _tag_of(self, width: int) -> int | None:
        """Return the column of the tag in lines of some width, None if these have no tag."""
        last = (width - 1) or None
        column = self._tag_column
        return last if column is None else column if column < width else None

    def _allows(self, width: int) -> bool:
        return width in self._widths if self._tag_column is None else width > self._most_needed

    def _fits(self, width: int) -> bool:
        return width == (self._width or width) and self._allows(width)

    def _word(self, cells: list[str], line: int) -> Word:
        where = f"{self.file}:{line}"
        self._width = self._width or len(cells)
        if not self._fits(len(cells)):
            raise DataError(f"{where}: {self._wrong_width(len(cells))}")
        tag, text = self._tag_of(len(cells)), cells[self._word_column]
        return Word(line, text, None if tag is None else _checked_tag(cells[tag], where))

    def _wrong_width(self, width: int) -> str:
        if self._allows(self._width):
            return (
                f"expected {self._width} columns as in the first line, found {width}; mend or remove the line"
            )
        expected = f"more than {self._most_needed}"
        if self._tag_column is None:
            expected = " or ".join(map(str, self._widths))
        return f"expected {expected} columns, found {width}; mend or remove the line, or {NAMED}"


class WordTable:
    """A stored table with a sentence in a row.

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
        """Yield the words of each sentence that has any."""
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
            if words:
                checked = tags if lacks else [_checked_tag(tag, where) for tag in tags]
                yield [Word(number, *pair) for pair in zip(words, checked, strict=True)]


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
