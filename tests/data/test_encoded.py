"""Columns of mapped files, and counts of their tokens (specs/causal.md section 10, item 2)."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kdpipe.data.encoded import count_tokens
from kdpipe.data.mapped import MappedColumn, open_batches
from kdpipe.errors import DataError

LISTS = [[1, 2], [], [3], [4, 5, 6], [7]]


@pytest.mark.parametrize(("values", "kind", "expected"), [
    (LISTS, pa.list_(pa.int32()), [7, 1, 2, 4, 5, 6]),
    ([9, 8, 7, 6, 5], pa.int16(), [5, 9, 6, 8]),
    ([[i, -i] for i in range(5)], pa.list_(pa.int8(), 2), [[4, -4], [0, 0], [3, -3], [1, -1]]),
])  # fmt: skip
@pytest.mark.parametrize("size", [1, 2, 5])
def test_rows_come_in_the_order_asked_for(tmp_path: Path, values, kind, expected, size: int) -> None:
    file = tmp_path / "t.arrow"
    table = pa.table({"column": pa.array(values, kind)})
    with pa.ipc.new_file(str(file), table.schema) as writer:
        writer.write_table(table, max_chunksize=size)
    before = pa.total_allocated_bytes()
    column = MappedColumn([batch.column("column") for batch in open_batches(file)])
    assert pa.total_allocated_bytes() == before
    assert column[np.array([4, 0, 3, 1])].tolist() == expected
    assert column.values().tolist() == (list(range(1, 8)) if values is LISTS else values)
    if values is LISTS:
        assert column.lengths().tolist() == [2, 0, 1, 3, 1]
        assert column.lengths_of(np.array([3, 1])).tolist() == [3, 0]


ROWS = [[2, 7, 7, 3], [2, 5, 3], [2, 3]]


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "train.arrow"
    rows = pa.array(ROWS, pa.list_(pa.int32()))
    table = pa.table({"input_ids": rows})
    with pa.ipc.new_file(str(file), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return file


def test_counts_every_id_special_ones_too(file):
    table = count_tokens(file, vocab_size=10)
    assert table["token_id"].to_pylist() == list(range(10))
    assert table["count"].to_pylist() == [0, 0, 3, 3, 0, 1, 0, 2, 0, 0]
    assert sum(table["count"].to_pylist()) == sum(map(len, ROWS))


def test_an_id_beyond_the_vocabulary(file):
    with pytest.raises(DataError, match=r"train\.arrow: expected token ids below 7, found 7"):
        count_tokens(file, vocab_size=7)
