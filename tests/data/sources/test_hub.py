"""What has been fetched from the Hub."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdpipe.artifacts.sums import write_sums
from kdpipe.data.fetched import part_name
from kdpipe.data.source import Example
from kdpipe.data.sources.hub import HubSource
from kdpipe.errors import DataError, KdpipeError


def fetched(folder, **splits):
    """Write the rows of each split, one part each, and return the source that reads them."""
    kept = folder / "default" / "main"
    kept.mkdir(parents=True)
    for split, parts in splits.items():
        for position, rows in enumerate(parts):
            pq.write_table(pa.Table.from_pylist(rows), kept / part_name(split, position))
    write_sums(kept)
    return HubSource(task="regression", path=folder, text="text", label="score")


def test_splits_in_order_and_parts_by_number(tmp_path):
    row = {"text": "a", "score": 0.5}
    parts = [[{"text": str(part), "score": part}] for part in range(11)]
    source = fetched(tmp_path, hard_cases=[[row]], train=parts, validation=[[row]])
    assert source.splits() == ("train", "validation", "hard_cases")
    assert [example.text for example in source.read("train")] == [str(part) for part in range(11)]
    assert list(source.read("hard_cases")) == [Example("hard_cases:1", "a", label=0.5)]
    assert source.labels is None


def test_a_column_or_split_that_there_is_not(tmp_path):
    source = fetched(tmp_path, train=[[{"sentence": "a", "score": 1.0}]])
    with pytest.raises(
        DataError, match=r"train-00000\.parquet:1: expected a column 'text', found sentence, score"
    ):
        list(source.read("train"))
    with pytest.raises(DataError, match="expected a split 'test', found train"):
        list(source.read("test"))


def test_what_has_not_been_fetched(tmp_path):
    source = HubSource(task="regression", path=Path("none"), text="text", label="score")
    with pytest.raises(KdpipeError, match="none/default/main is no finished artifact"):
        source.splits()
