"""Texts that are joined fill rows of one length, whatever the chunks and processes that they come in."""

import numpy as np
import pytest

from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.shards import Shards
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.encoding import flat_ids, load_fast_tokenizer
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.source import Example
from kdpipe.errors import DataError


def write(folder, source, tokenizer_file, length=16, **options):
    folder.mkdir()
    options = {"task": "language_modeling", "max_length": length, "packing": True, **options}
    return write_dataset(folder, source, tokenizer_file, **options)


def texts(count):
    return [Example(f"line {i}", "a b c d e " * (i % 5) or "z") for i in range(count)]


def joined(examples, tokenizer_file):
    """Return the token ids of all texts, each with its special tokens."""
    return flat_ids(load_fast_tokenizer(tokenizer_file).encode_batch([e.text for e in examples]))[0]


@pytest.mark.parametrize("length", [12, 16, 64])
def test_rows_are_all_texts_one_after_the_other(tmp_path, memory_source, tokenizer_file, length):
    examples = texts(50)
    description = write(tmp_path / "a", memory_source({"train": examples}), tokenizer_file, length)
    split = EncodedSplit(tmp_path / "a", "train")
    ids = joined(examples, tokenizer_file)
    rest = len(ids) % length
    whole = ids if rest >= 12 or not rest else ids[:-rest]
    assert split.column("input_ids").values().tolist() == whole.tolist()
    assert set(split.lengths[:-1]) == {length}
    assert description["splits"]["train"]["examples"] == 50
    assert description["splits"]["train"]["rows"] == len(split)
    assert description["splits"]["train"]["tokens"] == len(whole)


def test_the_bytes_are_the_same_for_any_chunks_and_processes(
    tmp_path, memory_source, tokenizer_file, monkeypatch
):
    source = memory_source({"train": texts(3000), "validation": texts(99)})
    write(tmp_path / "a", source, tokenizer_file)
    write(tmp_path / "b", source, tokenizer_file, processes=2)
    monkeypatch.setattr("kdpipe.data.pipeline.CHUNK_EXAMPLES", 7)
    write(tmp_path / "c", source, tokenizer_file, shards=Shards(tmp_path / "shards", Clock()))
    for name in ("train", "validation"):
        splits = [EncodedSplit(tmp_path / folder, name) for folder in "abc"]
        for other in splits[1:]:
            assert np.array_equal(other.lengths, splits[0].lengths)
            ids = [split.column("input_ids").values() for split in (splits[0], other)]
            assert np.array_equal(*ids)
            assert other.ids.to_pylist() == splits[0].ids.to_pylist()
    assert (tmp_path / "a/train.arrow").read_bytes() == (tmp_path / "b/train.arrow").read_bytes()


def test_texts_that_fill_no_row_are_refused(tmp_path, memory_source, tokenizer_file):
    source = memory_source({"train": [Example("1", "a b")]})
    with pytest.raises(DataError, match="found none of 1 examples: 1 dropped as shorter than 12 tokens"):
        write(tmp_path / "a", source, tokenizer_file)


def test_texts_are_rows_by_default(tmp_path, memory_source, tokenizer_file):
    examples = [Example(str(i), "a b c d e f g h i j") for i in range(4)]
    write(tmp_path / "a", memory_source({"train": examples}), tokenizer_file, packing=False)
    assert EncodedSplit(tmp_path / "a", "train").lengths.tolist() == [12] * 4
