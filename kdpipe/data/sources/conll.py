"""Words with tags of named entities, in columns, as CoNLL-2003 has them."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from kdpipe.data.files import SplitFiles, read_lines
from kdpipe.data.source import TEST, TRAIN, VALIDATION, Example
from kdpipe.errors import DataError, suggest

LOG = logging.getLogger(__name__)
LAYOUT = {
    TRAIN: ("train.txt", "train.conll", "eng.train"),
    VALIDATION: ("valid.txt", "dev.txt", "validation.txt", "dev.conll", "eng.testa"),
    TEST: ("test.txt", "test.conll", "eng.testb"),
}
OUTSIDE = "O"
DOCUMENT = "-DOCSTART-"
WIDTHS = (2, 4)


class Word(NamedTuple):
    """A word, its tag, and the line it stands on."""

    line: int
    text: str
    tag: str


class ConllSource:
    """Sentences of words, one word a line, blank lines between sentences.

    Of two or four columns, separated by blanks, the first is the word and the last its tag, in the scheme
    IOB1 or IOB2; tags come out as IOB2. Lines that begin with `-DOCSTART-` separate documents.

    Args:
        task: `token_classification`.
        path: a folder with `train.txt`, `valid.txt` or `dev.txt`, and `test.txt`, as far as they exist.
        files: split name to file; stands before `path`.

    Reference:
        Tjong Kim Sang & De Meulder 2003, Introduction to the CoNLL-2003 Shared Task (W03-0419), section 2.2.
    """

    tasks: tuple[str, ...] = ("token_classification",)

    def __init__(
        self, *, task: str, path: Path | None = None, files: Mapping[str, Path] = MappingProxyType({})
    ) -> None:
        self.task = task
        self._files = SplitFiles(path, files, LAYOUT)
        self._told: set[str] = set()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The tags: `O`, then B- and I- of every type of entity of the training split, by name.

        Without a training split the first one tells the types.
        """
        split = self.splits()[0]
        tags = {word.tag for words in _sentences(self._files.file(split)) for word in words}
        types = sorted({tag[2:] for tag in tags - {OUTSIDE}})
        return (OUTSIDE, *(f"{mark}-{kind}" for kind in types for mark in "BI"))

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have a file."""
        return self._files.names()

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per sentence; its id is `split:line` of the first word.

        Raises:
            DataError: a line or a tag is malformed, or the training split has no such tag.
        """
        file = self._files.file(split)
        known = set(self.labels)
        sentences = converted = 0
        for words in _sentences(file):
            tags = to_iob2([word.tag for word in words])
            for word, tag in zip(words, tags, strict=True):
                if tag not in known:
                    raise DataError(
                        f"{file}:{word.line}: expected a tag of the training split, found {tag!r};"
                        f" {suggest(tag, known)}"
                    )
                converted += tag != word.tag
            sentences += 1
            texts = tuple(word.text for word in words)
            yield Example(f"{split}:{words[0].line}", " ".join(texts), label=tags, words=texts)
        self._tell(split, file, sentences, converted)

    def _tell(self, split: str, file: Path, sentences: int, converted: int) -> None:
        if split not in self._told:
            self._told.add(split)
            scheme = f"IOB1, {converted} tags converted to IOB2" if converted else "IOB2"
            LOG.info("%s: %d sentences, tags in %s", file, sentences, scheme)


def to_iob2(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags such that every entity begins with B-; in IOB2 already, they stay as they are."""
    found = []
    inside = None
    for tag in tags:
        kind = None if tag == OUTSIDE else tag[2:]
        starts = kind is not None and (tag[0] == "B" or kind != inside)
        found.append(f"B-{kind}" if starts else tag)
        inside = kind
    return tuple(found)


def _sentences(file: Path) -> Iterator[list[Word]]:
    sentence: list[Word] = []
    width = 0
    for number, line in read_lines(file):
        cells = line.split()
        if not cells or cells[0] == DOCUMENT:
            if sentence:
                yield sentence
            sentence = []
            continue
        width = width or len(cells)
        sentence.append(_word(cells, width, f"{file}:{number}", number))
    if sentence:
        yield sentence


def _word(cells: list[str], width: int, where: str, line: int) -> Word:
    if len(cells) != width or width not in WIDTHS:
        expected = f"{width} columns as in the first line" if width in WIDTHS else "2 or 4 columns"
        raise DataError(f"{where}: expected {expected}, found {len(cells)}; mend or remove the line")
    tag = cells[-1]
    if tag != OUTSIDE and not (tag[:2] in ("B-", "I-") and len(tag) > 2):
        raise DataError(
            f"{where}: expected a tag O, B-TYPE or I-TYPE (IOB1 or IOB2), found {tag!r};"
            " convert other schemes first"
        )
    return Word(line, cells[0], tag)
