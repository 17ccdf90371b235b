"""Token counts (specs/causal.md section 10, item 2)."""

import pyarrow as pa
import pytest

from kdpipe.data.counts import count_tokens
from kdpipe.errors import DataError

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
