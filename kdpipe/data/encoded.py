"""Read an encoded dataset: its description, and its splits as flat arrays with offsets."""

import json
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdpipe.errors import DataError

# Columns that only scoring reads.
SCORED = ("id", "example", "starts", "ends")


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


def largest(folder: Path, column: str) -> int:
    """Return the largest number in a column of all splits of a dataset, or in its lists; 0 without any.

    The files' own statistics tell, whatever the number of rows.
    """
    found = [0]
    for split in read_description(folder)["splits"]:
        groups = pq.read_metadata(folder / f"{split}.parquet")
        for group, place in product(range(groups.num_row_groups), range(groups.num_columns)):
            chunk = groups.row_group(group).column(place)
            if chunk.path_in_schema.partition(".")[0] == column and chunk.statistics.has_min_max:
                found.append(int(chunk.statistics.max))
    return max(found)


class EncodedSplit:
    """One split of an encoded dataset, held as flat arrays.

    Args:
        folder: the dataset's folder.
        split: the split's name.

    Raises:
        DataError: the dataset has no such split.
    """

    def __init__(self, folder: Path, split: str) -> None:
        path = folder / f"{split}.parquet"
        splits = read_description(folder)["splits"]
        if split not in splits:
            raise DataError(f"{folder} has no split {split!r}; it has {', '.join(splits)}")
        self.split = split
        self.path = path
        self.columns = pq.read_schema(path).names
        columns = [name for name in self.columns if name not in SCORED]
        self.table = pq.read_table(path, columns=columns, memory_map=True).combine_chunks()

    def __len__(self) -> int:
        """Return the number of examples."""
        return int(self.table.num_rows)

    @cached_property
    def input_ids(self) -> NDArray[np.int32]:
        """Token ids of all examples, one after the other."""
        return _flat(self.table["input_ids"])

    @cached_property
    def token_type_ids(self) -> NDArray[np.int8] | None:
        """Segment ids of all tokens, where examples are pairs."""
        return _flat(self.table["token_type_ids"]) if "token_type_ids" in self.table.column_names else None

    @property
    def windowed(self) -> bool:
        """Whether examples are windows of contexts, in which answers are looked for."""
        return "starts" in self.columns

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        lengths: NDArray[np.int64] = pc.list_value_length(self.table["input_ids"]).to_numpy().astype(np.int64)
        return lengths

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest example."""
        return int(self.lengths.max())

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each example starts in the flat arrays."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]])

    @cached_property
    def labels(self) -> NDArray[Any] | None:
        """Label of each example [N], of several on or off [N, C], of each word [W]; None without.

        Those of windows are the places of the answer's first and last token [N, 2].
        """
        if "labels" not in self.table.column_names:
            return None
        column = self.table["labels"]
        if pa.types.is_fixed_size_list(column.type):
            return _flat(column).reshape(len(column), -1)
        return _flat(column) if pa.types.is_list(column.type) else column.to_numpy()

    @cached_property
    def words(self) -> NDArray[np.int32] | None:
        """Where each word's first piece stands in its row, -1 if it was cut off [W]; None without words."""
        return _flat(self.table["words"]) if "words" in self.table.column_names else None

    @cached_property
    def word_lengths(self) -> NDArray[np.int64]:
        """Words of each example."""
        lengths: NDArray[np.int64] = pc.list_value_length(self.table["words"]).to_numpy().astype(np.int64)
        return lengths

    @cached_property
    def logit_counts(self) -> NDArray[np.int64]:
        """Rows of logits of each example: one, of windows one a token, of words those not cut off."""
        if self.windowed:
            return self.lengths
        if self.words is None:
            return np.ones(len(self), dtype=np.int64)
        kept = np.concatenate([[0], np.cumsum(self.words >= 0)])
        ends = np.cumsum(self.word_lengths)
        counts: NDArray[np.int64] = kept[ends] - kept[ends - self.word_lengths]
        return counts

    @cached_property
    def word_offsets(self) -> NDArray[np.int64]:
        """Where each example's words start among all."""
        return np.concatenate([[0], np.cumsum(self.word_lengths)[:-1]])

    def words_of(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the words of some examples that were not cut off: (which of these, place among all)."""
        assert self.words is not None
        lengths = self.word_lengths[indices]
        places = ragged(self.word_offsets[indices], lengths)
        kept = self.words[places] >= 0
        return np.repeat(np.arange(len(indices)), lengths)[kept], places[kept]

    @property
    def ids(self) -> pa.ChunkedArray:
        """Id of each example."""
        return pq.read_table(self.path, columns=["id"])["id"]


def ragged(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the flat positions of runs that start at `starts`: [s0, s0+1, …, s1, s1+1, …]."""
    ends = np.cumsum(lengths)
    positions: NDArray[np.int64] = np.arange(ends[-1] if len(ends) else 0)
    positions += np.repeat(starts - (ends - lengths), lengths)
    return positions


def split_runs(values: NDArray[Any], lengths: NDArray[np.int64]) -> list[list[Any]]:
    """Return flat values as one list for each run."""
    return [run.tolist() for run in np.split(values, np.cumsum(lengths)[:-1])]


def _flat(column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = column.combine_chunks().flatten().to_numpy()
    return values
