"""Words with tags of named entities, in columns, as CoNLL-2003 has them."""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from kdpipe.data.files import USUAL, SplitFiles, read_lines
from kdpipe.data.labels import checked_classes, class_name
from kdpipe.data.source import TEST, TRAIN, VALIDATION, Example
from kdpipe.errors import DataError, quoted, suggest

LOG = logging.getLogger(__name__)
BLANKS = re.compile(r"[ \t]+")
OFFICIAL = {TRAIN: "eng.train", VALIDATION: "eng.testa", TEST: "eng.testb"}
LAYOUT = {
    split: (*(f"{name}.{ending}" for name in names for ending in ("txt", "conll")), OFFICIAL[split])
    for split, names in USUAL.items()
}
OUTSIDE = "O"
DOCUMENT = "-DOCSTART-"
# The columns of a file with tags; one column is words alone.
WIDTHS = (2, 4)


class Word(NamedTuple):
    """A word, its tag if the file has any, and the line it stands on."""

    line: int
    text: str
    tag: str | None


class ConllSource:
    """Sentences of words, one word a line, blank lines between sentences.

    Of two or four columns, separated by blanks or tabs, the first is the word and the last its tag, in the
    scheme IOB1 or IOB2; tags come out as IOB2. Lines that begin with `-DOCSTART-` separate documents. A split
    other than train and validation may have the words alone.

    Args:
        task: `token_classification`.
        path: a folder with `train.txt`, `validation.txt` (or `valid.txt`, `dev.txt`) and `test.txt` as far
            as they exist, or the same in `.conll`, or CoNLL-2003's own `eng.train`, `eng.testa`, `eng.testb`.
        files: split name to file; stands before `path`.
        classes: types of entities, such as `PER`, in their order. Without them: what the training split has,
            by name.
        labels: `none` drops those of the training split; it and validation may have the words alone.

    Reference:
        Tjong Kim Sang & De Meulder 2003, Introduction to the CoNLL-2003 Shared Task (W03-0419), section 2.2.
    """

    tasks: tuple[str, ...] = ("token_classification",)

    def __init__(
        self,
        *,
        task: str,
        path: Path | None = None,
        files: Mapping[str, Path] = MappingProxyType({}),
        classes: list[str] | None = None,
        labels: Literal["none"] | None = None,
    ) -> None:
        self.task = task
        self._classes = classes
        self._optional = labels == "none"
        self._files = SplitFiles(path, files, LAYOUT)
        self._told: set[str] = set()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The tags: `O`, then B- and I- of every type of entity.

        Types that are not given are those of the training split, or of the first one where there is none.

        Raises:
            DataError: that split has no tags or no entity, or types of entities cannot be told apart.
        """
        split = self.splits()[0]
        types = self._classes or self._types_in(split)
        where = "classes" if self._classes else str(self._files.file(split))
        return checked_classes((OUTSIDE, *(f"{mark}-{kind}" for kind in types for mark in "BI")), where)

    def _types_in(self, split: str) -> list[str]:
        file = self._files.file(split)
        tags = {word.tag for words in _sentences(file, may_lack=True) for word in words}
        if None in tags:
            raise DataError(
                f"{file}: expected tags, found words alone; give the types of entities as `classes`"
            )
        return sorted({tag[2:] for tag in tags if tag and tag != OUTSIDE})

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have a file."""
        return self._files.names()

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per sentence; its id is `split:line` of the first word.

        Raises:
            DataError: a line or a tag is malformed, there is no such tag, or no sentence at all.
        """
        file = self._files.file(split)
        found: Counter[str] = Counter()
        for words in _sentences(file, self._optional or split not in (TRAIN, VALIDATION)):
            texts = tuple(word.text for word in words)
            given = tuple(word.tag for word in words if word.tag is not None)
            tags = to_iob2(given) if given else None
            self._check_known(file, words, tags or ())
            found.update(
                sentences=1, tagged=len(given), converted=count_not_iob2(given), foreign=count_not_iob1(given)
            )
            yield Example(f"{split}:{words[0].line}", " ".join(texts), label=tags, words=texts)
        if not found:
            raise DataError(f"{file}:1: expected words, found only blank lines")
        if split not in self._told:
            self._told.add(split)
            LOG.info("%s: %d sentences, %s", file, found["sentences"], _scheme(found))

    def _check_known(self, file: Path, words: list[Word], tags: tuple[str, ...]) -> None:
        for word, tag in zip(words, tags, strict=False):
            if tag not in self.labels:
                raise DataError(
                    f"{file}:{word.line}: expected a tag of the training split, found {quoted(tag)};"
                    f" {suggest(tag, self.labels)}; or give all types of entities as `classes`"
                )


def to_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags such that every entity begins with B-; in IOB2 already, they stay as they are.

    Both schemes read alike: B- begins an entity, and so does I- that follows no word of its type. A mixture
    of them is no riddle either.
    """
    found = []
    inside = None
    for tag in tags:
        kind = None if tag == OUTSIDE else tag[2:]
        starts = kind is not None and (tag[0] == "B" or kind != inside)
        found.append(f"B-{kind}" if starts else tag)
        inside = kind
    return tuple(found)


def count_not_iob2(tags: Sequence[str]) -> int:
    """Return how many tags begin an entity with I-, as only IOB1 has it."""
    return sum(tag != kept for tag, kept in zip(to_iob2(tags), tags, strict=True))


def count_not_iob1(tags: Sequence[str]) -> int:
    """Return how many tags B- come after no entity of their type, as only IOB2 has it."""
    before = ("", *tags)
    return sum(tag[0] == "B" and tag[2:] != last[2:] for last, tag in zip(before, tags, strict=False))


def _scheme(found: Mapping[str, int]) -> str:
    if not found["tagged"]:
        return "no tags"
    if not found["converted"]:
        return "tags in IOB2"
    mixed = f"in part IOB1 and in part IOB2 ({found['foreign']} tags)" if found["foreign"] else "IOB1"
    return f"tags in {mixed}, {found['converted']} tags converted to IOB2"


def _sentences(file: Path, may_lack: bool) -> Iterator[list[Word]]:
    sentence: list[Word] = []
    width = 0
    for number, line in read_lines(file):
        cells = BLANKS.split(line.strip(" \t"))
        if cells[0] in ("", DOCUMENT):
            if sentence:
                yield sentence
            sentence = []
            continue
        width = width or len(cells)
        sentence.append(_word(cells, width, f"{file}:{number}", number, may_lack))
    if sentence:
        yield sentence


def _word(cells: list[str], width: int, where: str, line: int, may_lack: bool) -> Word:
    widths = (1, *WIDTHS) if may_lack else WIDTHS
    if len(cells) != width or width not in widths:
        usual = " or ".join(map(str, widths))
        expected = f"{width} columns as in the first line" if width in widths else f"{usual} columns"
        raise DataError(f"{where}: expected {expected}, found {len(cells)}; mend or remove the line")
    if width == 1:
        return Word(line, cells[0], None)
    tag = cells[-1]
    if tag != OUTSIDE and not (tag[:2] in ("B-", "I-") and len(tag) > 2):
        raise DataError(
            f"{where}: expected a tag O, B-TYPE or I-TYPE (IOB1 or IOB2), found {quoted(tag)};"
            " convert other schemes first"
        )
    return Word(line, cells[0], class_name(tag, where))
