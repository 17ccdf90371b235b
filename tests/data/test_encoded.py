"""Columns of mapped files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kdpipe.data.encoded import MappedColumn, open_batches

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
