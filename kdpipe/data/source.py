"""What a dataset is read from: examples, and the interface of the sources that yield them.

Sources and encoders raise a `DataError` for every mistake in the user's data, and name the file and the line.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"
# The number of examples at the beginning of a file that a check reads.
FIRST = 20
STANDARD_SPLITS = (TRAIN, VALIDATION, TEST)


class Answer(NamedTuple):
    """An answer to a question, as a piece of the text it was asked of.

    Args:
        start: where the text has it, in characters.
        text: the answer.
    """

    start: int
    text: str


Label = str | float | tuple[str, ...] | tuple[Answer, ...]


class Example(NamedTuple):
    """One example of a dataset, before tokenization.

    Args:
        id: unique within its split, and the same at every reading.
        text: the text, the first text of a pair, or a question.
        text_pair: the second text of a pair, or the text that the question is asked of.
        label: the name of a class; a number (regression); the names of classes (multi-label) or of each
            word's tag (token classification); the answers, none for a question without one (question
            answering); None where the split has no labels.
        words: the words that have tags, for token classification.
        kept: further columns by which rows are told apart, such as their language: (name, value) pairs.
    """

    id: str
    text: str
    text_pair: str | None = None
    label: Label | None = None
    words: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()


class Source(Protocol):
    """A dataset in its original form.

    A source is a class whose constructor takes `task` and its options as keywords with plain
    annotations, and whose `tasks` is a literal tuple: configs are checked against both without
    importing it. The constructor touches no file. A source that reads local files also takes
    `path` (a file or folder in its usual layout) and `files` (split name to file); see
    `kdpipe.data.files.SplitFiles`. A source that may lack labels takes `labels`, which is `none`
    where the labels of the training split are dropped.
    """

    tasks: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes in their order; None for text and regression."""
        ...

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits there are: train, validation, test, then others.

        Raises:
            DataError: the data is not where it should be.
        """
        ...

    def read(self, split: str) -> Iterator[Example]:
        """Yield the examples of a split lazily, in an order that never changes.

        Raises:
            DataError: there is no such split, or what it holds is malformed.
        """
        ...


@runtime_checkable
class Local(Protocol):
    """A source of local files, whose beginnings can be read alone."""

    def peek(self, split: str) -> Iterator[Example]:
        """Yield the examples at the beginning of each file, and read no other part of the data.

        So no label is compared with the labels of the training split. A file that can only be read whole may
        give no example.
        """
        ...


@runtime_checkable
class Installed(Protocol):
    """A source of installed packages, which are no files of the user's."""

    def modules(self) -> list[Path]:
        """Return the files of the packages."""
        ...
