"""GLUE in its TSV layout; with KDPIPE_DATA set, the real MRPC and SST-2 as well."""

import os
from collections import Counter
from pathlib import Path

import pytest

from kdpipe.data.source import Example
from kdpipe.data.sources.glue import GlueSource
from kdpipe.errors import DataError

MRPC_HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
MRPC_UNLABELLED = "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n"

real_data = pytest.mark.skipif(
    not Path(os.environ.get("KDPIPE_DATA", "none"), "glue").is_dir(),
    reason="KDPIPE_DATA has no folder glue",
)


def glue(name, folder, **files):
    for split, text in files.items():
        (folder / f"{split}.tsv").write_text(text, encoding="utf-8")
    return GlueSource(task="classification", name=name, path=folder)


def test_pairs_with_quotation_marks_and_byte_order_mark(tmp_path):
    row = '1\t7\t8\tHe said "yes, he did .\t"No" , she said .\n'
    source = glue("MRPC", tmp_path, train="\ufeff" + MRPC_HEADER + row, dev=MRPC_HEADER + row)
    assert source.labels == ("0", "1")
    assert source.splits() == ("train", "validation")
    first, second = 'He said "yes, he did .', '"No" , she said .'
    assert list(source.read("train")) == [Example("train:2", first, second, "1")]
    assert list(source.read("validation")) == [Example("validation:2", first, second, "1")]


@pytest.mark.parametrize("name", ["SST-2", "sst2", "sst-2", "SST_2"])
def test_single_sentences_by_any_spelling(tmp_path, name):
    source = glue(name, tmp_path, dev="sentence\tlabel\nit 's good \t1\nbad\t0\n")
    assert list(source.read("validation")) == [
        Example("validation:2", "it 's good ", None, "1"),
        Example("validation:3", "bad", None, "0"),
    ]


def test_the_test_split_with_and_without_labels(tmp_path):
    labelled = glue("mrpc", tmp_path, test=MRPC_HEADER + "0\t7\t8\ta\tb\n")
    assert [example.label for example in labelled.read("test")] == ["0"]
    unlabelled = glue("mrpc", tmp_path, test=MRPC_UNLABELLED + "0\t7\t8\ta\tb\n")
    assert list(unlabelled.read("test")) == [Example("test:2", "a", "b", None)]
    unlabelled = glue("sst2", tmp_path, test="index\tsentence\n0\tfine\n")
    assert list(unlabelled.read("test")) == [Example("test:2", "fine")]


@pytest.mark.parametrize(
    ("split", "text", "message"),
    [
        (
            "train",
            MRPC_HEADER + "1\t7\t8\ta\tb\n1\t7\ta\n",
            r"train\.tsv:3: expected 5 tab-separated columns, found 3",
        ),
        (
            "train",
            MRPC_HEADER + "1\t7\t8\ta\tb\n2\t7\t8\ta\tb\n",
            r"train\.tsv:3: expected a label out of 0, 1, found '2'",
        ),
        ("train", MRPC_UNLABELLED, r"train\.tsv:1: expected a header with the columns Quality"),
        (
            "test",
            "1\ta\tb\n",
            r"test\.tsv:1: expected a header with the columns #1 String, #2 String",
        ),
        ("test", "", r"test\.tsv:1: expected at least one line"),
    ],
)
def test_malformed_files(tmp_path, split, text, message):
    source = glue("MRPC", tmp_path, **{split: text})
    with pytest.raises(DataError, match=message):
        list(source.read(split))


def test_a_missing_folder(tmp_path):
    source = GlueSource(task="classification", name="MRPC", path=tmp_path / "none")
    with pytest.raises(DataError, match=r"train\.tsv, dev\.tsv, test\.tsv.*data_dir.*KDPIPE_DATA"):
        source.splits()


def test_other_tasks_are_refused():
    with pytest.raises(DataError, match="'RTE' is not available in this version; MRPC and SST-2 are"):
        GlueSource(task="classification", name="RTE")


@real_data
@pytest.mark.parametrize(
    ("name", "split", "labels"),
    [
        ("MRPC", "train", {"1": 2474, "0": 1194}),
        ("MRPC", "validation", {"1": 279, "0": 129}),
        ("MRPC", "test", {"1": 1147, "0": 578}),
        ("SST-2", "train", {"1": 37569, "0": 29780}),
        ("SST-2", "validation", {"1": 444, "0": 428}),
    ],
)
def test_real_sizes(name, split, labels):
    folder = Path(os.environ["KDPIPE_DATA"]) / "glue" / name
    source = GlueSource(task="classification", name=name, path=folder)
    assert Counter(example.label for example in source.read(split)) == labels
