"""Writing datasets."""

import json

import pytest

from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.shards import Shards
from kdpipe.data.encoded import EncodedSplit, labelled_splits
from kdpipe.data.pipeline import CHUNK_EXAMPLES
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.source import Example
from kdpipe.errors import DataError
from tests.encoded import read_split

YES, NO = Example("1", "a b", label="yes"), Example("2", "c", label="no")


def write(folder, source, tokenizer_file, task="classification", **options):
    return write_dataset(folder, source, tokenizer_file, task=task, max_length=16, **options)


def test_files_and_description(tmp_path, memory_source, tokenizer_file):
    source = memory_source({"train": [YES, NO], "test": [Example("1", "d")]}, ("no", "yes"))
    description = write(tmp_path, source, tokenizer_file)
    assert json.loads((tmp_path / "dataset.json").read_text()) == description
    assert description == {
        "task": "classification",
        "labels": ["no", "yes"],
        "max_length": 16,
        "splits": {
            "train": {
                "columns": ["id", "input_ids", "labels", "length"],
                "examples": 2,
                "rows": 2,
                "tokens": 7,
                "truncated": 0,
            },
            "test": {
                "columns": ["id", "input_ids", "length"],
                "examples": 1,
                "rows": 1,
                "tokens": 3,
                "truncated": 0,
            },
        },
        "largest": {"length": 4, "input_ids": 8, "token_type_ids": 0},
    }
    assert read_split(tmp_path, "train")["labels"].to_pylist() == [1, 0]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "dataset.json",
        "test.arrow",
        "train.arrow",
    ]


@pytest.mark.parametrize(
    ("task", "classes", "labels", "dtype"),
    [("regression", None, [0.5, -2.0], "float32"), ("multi_label", ("a", "b"), [(), ("b", "a")], "int8")],
)
def test_labels_are_read_back(tmp_path, memory_source, tokenizer_file, task, classes, labels, dtype):
    examples = [Example(str(i), "a b", label=label) for i, label in enumerate(labels)]
    write(tmp_path, memory_source({"train": examples, "hard": examples}, classes), tokenizer_file, task)
    found = EncodedSplit(tmp_path, "train").labels
    assert found.tolist() == (labels if classes is None else [[0, 0], [1, 1]])
    assert found.dtype == dtype
    assert labelled_splits(tmp_path) == ["hard"]


def test_same_bytes_for_any_number_of_processes(tmp_path, memory_source, tokenizer_file):
    texts = [Example(str(i), "some words " * (i % 9)) for i in range(4 * CHUNK_EXAMPLES)]
    source = memory_source({"train": texts, "validation": texts[:99]})
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        write(
            tmp_path / str(processes),
            source,
            tokenizer_file,
            "language_modeling",
            processes=processes,
        )
    for name in ("train.arrow", "validation.arrow", "dataset.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_record_batches_are_of_a_size(tmp_path, memory_source, tokenizer_file, monkeypatch):
    monkeypatch.setattr("kdpipe.data.preprocess.BATCH_TOKENS", 12 * CHUNK_EXAMPLES)
    texts = [Example(str(i), "a b c d e f g h i j") for i in range(3 * CHUNK_EXAMPLES)]
    write(tmp_path, memory_source({"train": texts}), tokenizer_file, "language_modeling")
    rows = read_split(tmp_path, "train")
    assert [len(batch) for batch in rows.to_batches()] == [CHUNK_EXAMPLES] * 3
    assert rows["id"].to_pylist() == [str(i) for i in range(3 * CHUNK_EXAMPLES)]


def test_progress_is_told_of_examples(tmp_path, memory_source, tokenizer_file):
    told: list[int] = []
    texts = [Example(str(i), "a b c d e f g h i j k") for i in range(CHUNK_EXAMPLES + 5)]
    source = memory_source({"train": texts})
    write(tmp_path, source, tokenizer_file, "language_modeling", progress=told.append)
    assert told == [CHUNK_EXAMPLES, 5]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "split 'train': expected at least one row, found none of 0 examples"),
        (["a"], "none of 1 examples: 1 dropped as shorter than 12 tokens, 0 as mostly unknown tokens; give"),
        (
            ["a", "b", "0 " * 12, "c"],
            "none of 4 examples: 3 dropped as shorter .*, 1 as mostly unknown tokens",
        ),
    ],
)
@pytest.mark.parametrize("kept", [True, False])
def test_an_empty_split(tmp_path, memory_source, tokenizer_file, monkeypatch, texts, message, kept):
    monkeypatch.setattr("kdpipe.data.pipeline.CHUNK_EXAMPLES", 2)
    source = memory_source({"train": [Example(str(i), text) for i, text in enumerate(texts)]})
    shards = Shards(tmp_path / "shards", Clock()) if kept else None
    with pytest.raises(DataError, match=message):
        write(tmp_path, source, tokenizer_file, "language_modeling", shards=shards)


@pytest.mark.parametrize("kept", [True, False])
def test_chunks_of_which_nothing_is_left_count(tmp_path, memory_source, tokenizer_file, monkeypatch, kept):
    monkeypatch.setattr("kdpipe.data.pipeline.CHUNK_EXAMPLES", 1)
    texts = ["a", "a b c d e f g h i j", "b", "a b c d e f g h i j k", "c"]
    source = memory_source({"train": [Example(str(i), text) for i, text in enumerate(texts)]})
    for _ in range(2):
        shards = Shards(tmp_path / "shards", Clock()) if kept else None
        facts = write(tmp_path, source, tokenizer_file, "language_modeling", shards=shards)["splits"]["train"]
        counted = [facts[name] for name in ("examples", "rows", "tokens", "dropped_short")]
        assert counted == [5, 2, 25, 3]
        assert read_split(tmp_path, "train")["id"].to_pylist() == ["1", "3"]


def test_an_id_that_occurs_twice(tmp_path, memory_source, tokenizer_file):
    source = memory_source({"train": [YES, NO, Example("1", "z", label="no")]}, ("no", "yes"))
    with pytest.raises(DataError, match="train: expected every example to have its own id, found '1'"):
        write(tmp_path, source, tokenizer_file)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Example("3", "a"), "expected labels in all examples .* found 1 and 3 to differ"),
        (Example("3", "a", "b", label="no"), "expected pairs of texts in all .* found 1 and 3"),
    ],
)
def test_examples_of_two_kinds(tmp_path, memory_source, tokenizer_file, other, message):
    source = memory_source({"train": [YES, NO, other]}, ("no", "yes"))
    with pytest.raises(DataError, match=message):
        write(tmp_path, source, tokenizer_file)
