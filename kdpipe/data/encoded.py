"""Read an encoded dataset: its description, and its splits, whose files are mapped into memory."""

import json
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kdpipe.data.mapped import MappedColumn, SomeOfColumn, open_batches
from kdpipe.data.source import VALIDATION
from kdpipe.errors import DataError


def read_description(folder: Path) -> dict[str, Any]:
    """Return what `dataset.json` says of an encoded dataset."""
    content: dict[str, Any] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    return content


def labelled_splits(folder: Path) -> list[str]:
    """Return the held-out splits of a dataset that can be scored: text, or examples with labels."""
    description = read_description(folder)
    return [
        split
        for split, facts in description["splits"].items()
        if split != "train" and ("labels" in facts["columns"] or description["task"] == "language_modeling")
    ]


def validation_split(folder: Path) -> "EncodedSplit | None":
    """Return the validation split of a dataset, if there is one that can be scored."""
    return EncodedSplit(folder, VALIDATION) if VALIDATION in labelled_splits(folder) else None


def split_file(folder: Path, split: str) -> Path:
    """Return the file of a split's rows."""
    return folder / f"{split}.arrow"


def examples_file(folder: Path, split: str) -> Path:
    """Return the file of the contexts and answers of a split's questions."""
    return folder / f"{split}.examples.parquet"


def count_tokens(file: Path, vocab_size: int) -> pa.Table:
    """Count the token ids of one split, special tokens included, without what cleaning dropped.

    Args:
        file: the split's Arrow file.
        vocab_size: number of ids, whether they occur or not.

    Returns:
        A table of `token_id` and `count`, one row for every id.
    """
    counts = np.zeros(vocab_size, dtype=np.int64)
    for batch in open_batches(file):
        ids = batch.column("input_ids").flatten().to_numpy()
        if len(ids) and ids.max() >= vocab_size:
            raise DataError(
                f"{file}: expected token ids below {vocab_size}, found {ids.max()}; the dataset"
                " was made with another tokenizer than the vocabulary given"
            )
        counts += np.bincount(ids, minlength=vocab_size)
    return pa.table({"token_id": np.arange(vocab_size, dtype=np.int32), "count": counts})


class EncodedSplit:
    """One split of an encoded dataset, whose file is mapped.

    Its `lengths` are in memory, 4 bytes an example. Training reads the rows of a batch with `column`. Scoring
    also reads the properties, which hold a value of every example in memory.

    Args:
        folder: the dataset's folder.
        split: the split's name.

    Attributes:
        task: the dataset's task.
        classes: its labels in their order.

    Raises:
        DataError: the dataset has no such split.
    """

    def __init__(self, folder: Path, split: str) -> None:
        description = read_description(folder)
        splits = description["splits"]
        if split not in splits:
            raise DataError(f"{folder} has no split {split!r}; it has {', '.join(splits)}")
        file = split_file(folder, split)
        self._open(file, open_batches(file), description["task"], description["labels"] or ())

    @classmethod
    def of_rows(cls, batches: Sequence[pa.RecordBatch], task: str) -> "EncodedSplit":
        """Return rows in memory that have no labels, as an encoder gives them, as a split."""
        split = cls.__new__(cls)
        split._open(Path("rows"), batches, task, ())
        return split

    def _open(self, path: Path, batches: Sequence[pa.RecordBatch], task: str, classes: Sequence[str]) -> None:
        self.path, self.split = path, path.stem
        self.task, self.classes = task, tuple(classes)
        self._batches = batches
        self.columns: list[str] = batches[0].schema.names
        self._columns: dict[str, MappedColumn] = {}
        self.lengths: NDArray[np.int32] = self.column("length").values()

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.lengths)

    def column(self, name: str) -> MappedColumn:
        """Return a column, such as `input_ids`, which reads the rows of a batch."""
        if name not in self._columns:
            self._columns[name] = MappedColumn([batch.column(name) for batch in self._batches])
        return self._columns[name]

    @property
    def windowed(self) -> bool:
        """Whether examples are windows of contexts, in which answers are looked for."""
        return self.task == "question_answering"

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest example."""
        return int(self.lengths.max())

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Place of each example's first token among all tokens."""
        return _starts(self.lengths)

    @cached_property
    def labels(self) -> NDArray[Any] | None:
        """Label of each example [N]; each of several labels on or off [N, C]; label of each word [W].

        Windows have the places of the answer's first and last token [N, 2]; a split without labels has None.
        """
        return self.column("labels").values() if "labels" in self.columns else None

    @cached_property
    def words(self) -> NDArray[np.int32] | None:
        """Place of each word's first piece in its row, -1 if it was cut off [W]; None without words."""
        return self.column("words").values() if "words" in self.columns else None

    @cached_property
    def word_lengths(self) -> NDArray[np.int32]:
        """Words of each example."""
        return self.column("words").lengths()

    @cached_property
    def logit_counts(self) -> NDArray[np.integer[Any]]:
        """Rows of logits of each example: one; of windows one a token; one a word that was not cut off."""
        if self.windowed:
            return self.lengths
        if self.words is None:
            return np.broadcast_to(1, len(self))
        whole = np.concatenate([[0], np.cumsum(self.words >= 0)])
        counts: NDArray[np.int64] = np.diff(whole[np.concatenate([[0], np.cumsum(self.word_lengths)])])
        return counts

    @cached_property
    def word_offsets(self) -> NDArray[np.int64]:
        """Place of each example's first word among all words."""
        return _starts(self.word_lengths)

    def words_of(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of some examples' words among all words, without words that were cut off."""
        assert self.words is not None
        places = ragged(self.word_offsets[indices], self.word_lengths[indices])
        return places[self.words[places] >= 0]

    @property
    def ids(self) -> pa.ChunkedArray:
        """Id of each example."""
        return pa.chunked_array([batch.column("id") for batch in self._batches])


class SomeRows(EncodedSplit):
    """Some examples of a split, in their order, as a split of its own.

    Args:
        split: the whole split.
        rows: the places of the examples [N].
    """

    def __init__(self, split: EncodedSplit, rows: NDArray[np.int64]) -> None:
        self.path, self.split = split.path, split.split
        self.task, self.classes, self.columns = split.task, split.classes, split.columns
        self._whole, self.rows = split, rows
        self.lengths = split.lengths[rows]

    def column(self, name: str) -> MappedColumn:
        return SomeOfColumn(self._whole.column(name), self.rows)

    @property
    def ids(self) -> pa.ChunkedArray:
        return self._whole.ids.take(pa.array(self.rows))


def rows_with(split: EncodedSplit, column: str, values: Collection[str]) -> NDArray[np.int64]:
    """Return the places of the examples whose kept column has one of some values.

    Raises:
        DataError: the column was not kept, or no example has such a value.
    """
    found = np.isin(kept_values(split, column), [*values])
    if not found.any():
        raise DataError(
            f"{split.path}: expected rows whose {column!r} is {' or '.join(values)}, found none; take these"
            " values out of `teacher.models`"
        )
    return np.flatnonzero(found)


def kept_values(split: EncodedSplit, column: str) -> NDArray[np.str_]:
    """Return what a column that was kept has for each example [N].

    Raises:
        DataError: the column was not kept.
    """
    name = kept_column(column)
    if name not in split.columns:
        raise DataError(f"{split.path} has no column {column!r}; give its dataset `keep: [{column}]`")
    values: NDArray[np.str_] = split.column(name).values().astype(str)
    return values


def kept_column(name: str) -> str:
    """Return what a column of the source that is kept is called among the columns of a split."""
    return f"kept {name}"


def _starts(lengths: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    return np.cumsum(lengths, dtype=np.int64) - lengths


def ragged(starts: NDArray[np.int64], lengths: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the positions of runs that begin at `starts`, one run after the other."""
    ends = np.cumsum(lengths)
    positions: NDArray[np.int64] = np.arange(ends[-1] if len(ends) else 0)
    positions += np.repeat(starts - (ends - lengths), lengths)
    return positions


def split_runs(values: NDArray[Any], lengths: NDArray[np.integer[Any]]) -> list[list[Any]]:
    """Return flat values as one list for each run."""
    return [run.tolist() for run in np.split(values, np.cumsum(lengths)[:-1])]
