"""Words with tags of named entities, in columns, as CoNLL-2003 has them."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from kdpipe.data.files import USUAL_NAMES, FileSource, SplitFiles
from kdpipe.data.labels import checked_classes
from kdpipe.data.source import FIRST, TEST, TRAIN, VALIDATION, Example
from kdpipe.data.stored import is_stored
from kdpipe.data.words import OUTSIDE, Word, WordFile, WordTable, count_tags, scheme_in_words, to_iob2
from kdpipe.errors import DataError, quoted, suggest

# A file is described once, however often it is read.
log_once = cache(logging.getLogger(__name__).info)
OFFICIAL = {TRAIN: "eng.train", VALIDATION: "eng.testa", TEST: "eng.testb"}
LAYOUT = {
    split: (*(f"{name}.{ending}" for name in names for ending in ("txt", "conll")), OFFICIAL[split])
    for split, names in USUAL_NAMES.items()
}


class ConllSource(FileSource):
    """Sentences of words, one word a line, blank lines between sentences.

    A line has two or four columns, separated by blanks or tabs. The first is the word, and the last its tag
    in the scheme IOB1, IOB2, IOBES (BIOES) or BILOU. Tags are read as IOB2. Lines that begin with
    `-DOCSTART-` separate documents. Lines before a sentence that begin with `#` and have no word and tag are
    comments. A split other than train and validation may have the words alone. A stored table has a sentence
    in a row: a list of words in the column `tokens`, and a list of tags in `ner_tags`.

    Args:
        task: `token_classification`.
        path: a folder with `train.txt`, `validation.txt` (or `valid.txt`, `dev.txt`) and `test.txt` as far
            as they exist, or the same in `.conll`, or CoNLL-2003's own `eng.train`, `eng.testa`, `eng.testb`.
        files: split name to file; overrides `path`.
        classes: types of entities, such as `PER`, in their order. Without them: what the training split has,
            by name.
        columns: the columns of word and tag, where these are others: counted from 0, `{word: 1, tag: 2}`; of
            a stored table by name.
        encoding: how the text of the files is encoded, such as `utf-16` or `latin-1`.
        labels: `none` drops the training labels; training and validation may have the words alone.

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
        columns: dict[Literal["word", "tag"], int | str] | None = None,
        encoding: str = "utf-8",
        labels: Literal["none"] | None = None,
    ) -> None:
        self._classes = classes
        self._columns: dict[str, Any] = {str(name): column for name, column in (columns or {}).items()}
        super().__init__(SplitFiles(path, files, LAYOUT, unlabelled=labels == "none"), encoding)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The tags: `O`, then B- and I- of every type of entity.

        Without `classes`, the training split says the types; without a training split, the first split
        does.
        """
        split = self.splits()[0]
        types = self._classes or self._declared_in(split) or self._types_in(split)
        where = "classes" if self._classes else str(self._files.file(split))
        return checked_classes((OUTSIDE, *(f"{mark}-{kind}" for kind in types for mark in "BI")), where)

    def _declared_in(self, split: str) -> list[str]:
        file = self._files.file(split)
        names = WordTable(file, **self._columns).tags() if is_stored(file) else ()
        return list(dict.fromkeys(name[2:] for name in names if name != OUTSIDE))

    def _types_in(self, split: str) -> list[str]:
        file = self._files.file(split)
        tags = {word.tag for words in self._words(file, may_lack=True).sentences() for word in words}
        if None in tags:
            raise DataError(
                f"{file}: expected tags, found words alone; give the types of entities as `classes`"
            )
        return sorted({tag[2:] for tag in tags if tag and tag != OUTSIDE})

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per sentence; its id is `split:line` of the first word."""
        return self._examples(split, known=True)

    def peek(self, split: str) -> Iterator[Example]:
        """Yield the first sentences, which without `classes` may have any types of entities."""
        if is_stored(self._files.file(split)):
            return iter(())
        return islice(self._examples(split, known=bool(self._classes)), FIRST)

    def _examples(self, split: str, known: bool) -> Iterator[Example]:
        file = self._files.file(split)
        words_of = self._words(file, self._files.may_lack_labels(split))
        counts: Counter[str] = Counter()
        for words in words_of.sentences():
            texts = tuple(word.text for word in words)
            original = tuple(word.tag for word in words if word.tag is not None)
            tags = to_iob2(original) if original else None
            if known:
                self._check_known(file, words, tags or ())
            counts.update(count_tags(original), sentences=1)
            yield Example(f"{split}:{words[0].line}", " ".join(texts), label=tags, words=texts)
        if not counts:
            raise DataError(f"{file}:1: expected words, found only blank lines")
        comments = f", {words_of.comments} lines of comments left out" if words_of.comments else ""
        log_once(f"{file}: {counts['sentences']} sentences, {scheme_in_words(counts)}{comments}")

    def _words(self, file: Path, may_lack: bool) -> WordFile | WordTable:
        if is_stored(file):
            return WordTable(file, **self._columns, may_lack=may_lack)
        return WordFile(file, **self._columns, may_lack=may_lack, encoding=self._encoding)

    def _check_known(self, file: Path, words: list[Word], tags: tuple[str, ...]) -> None:
        for word, tag in zip(words, tags, strict=False):
            if tag not in self.labels:
                raise DataError(
                    f"{file}:{word.line}: expected a tag of the training split, found {quoted(tag)};"
                    f" {suggest(tag, self.labels)}; or give all types of entities as `classes`"
                )
