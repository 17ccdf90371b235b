"""Read an Arrow file that is mapped into memory.

A mapped file takes no memory of the process: the system reads the pages that a batch needs, and drops them
again. Parquet files cannot be mapped, so splits and signals are uncompressed Arrow files. Their record
batches are small, so that 32 bits hold every offset in a batch, however many tokens a file has.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def open_batches(file: Path) -> list[pa.RecordBatch]:
    """Return the record batches of an Arrow file, which is mapped."""
    reader = pa.ipc.open_file(pa.memory_map(str(file)))
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]


class MappedColumn:
    """A column of a mapped file; only the rows that are asked for are read.

    Args:
        chunks: the parts of the column, one for each record batch of the file.

    Attributes:
        parts: the values of each part, mapped, and the places where its rows begin and the last row ends.
    """

    def __init__(self, chunks: Sequence[pa.Array]) -> None:
        self.parts = [(_values(chunk), _bounds(chunk)) for chunk in chunks]
        self._starts = np.cumsum([0, *map(len, chunks)])

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the values of some rows, one after the other; of lists of a fixed size, as a matrix."""
        return np.concatenate([self.parts[part][0][first:last] for part, first, last in self._places(rows)])

    def first(self, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
        """Return the first values of some rows, so many of each row, one after the other."""
        places = zip(self._places(rows), counts.tolist(), strict=True)
        return np.concatenate(
            [self.parts[part][0][first : first + count] for (part, first, _), count in places]
        )

    def lengths_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of values that some rows have."""
        return np.array([last - first for _, first, last in self._places(rows)], dtype=np.int64)

    def lengths(self) -> NDArray[np.int32]:
        """Return the number of values of every row."""
        return np.concatenate([np.diff(bounds).astype(np.int32) for _, bounds in self.parts])

    def values(self) -> NDArray[Any]:
        """Return the values of all rows, read into memory."""
        return np.concatenate([values for values, _ in self.parts])

    def _places(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
        """Yield the part of each row, and the places where its values begin and end in the part."""
        parts = np.searchsorted(self._starts, rows, side="right") - 1
        for part, row in zip(parts.tolist(), (rows - self._starts[parts]).tolist(), strict=True):
            bounds = self.parts[part][1]
            yield part, bounds[row], bounds[row + 1]


class SomeOfColumn(MappedColumn):
    """Some rows of a column, as a column of its own.

    Args:
        column: the whole column.
        rows: the places of the rows [N].
    """

    def __init__(self, column: MappedColumn, rows: NDArray[np.int64]) -> None:
        self._column, self._rows = column, rows

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        return self._column[self._rows[rows]]

    def first(self, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
        return self._column.first(self._rows[rows], counts)

    def lengths_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._column.lengths_of(self._rows[rows])

    def lengths(self) -> NDArray[np.int32]:
        return self._column.lengths()[self._rows]

    def values(self) -> NDArray[Any]:
        return self._column[self._rows]


def _values(chunk: pa.Array) -> NDArray[Any]:
    if isinstance(chunk, pa.FixedSizeListArray):
        return _values(chunk.flatten()).reshape(-1, chunk.type.list_size)
    if isinstance(chunk, pa.ListArray | pa.LargeListArray):
        return _values(chunk.values)
    values: NDArray[Any] = chunk.to_numpy(zero_copy_only=chunk.type != pa.string())
    return values


def _bounds(chunk: pa.Array) -> Any:
    if isinstance(chunk, pa.ListArray | pa.LargeListArray):
        return chunk.offsets.to_numpy()
    # A range takes no memory.
    return range(len(chunk) + 1)
