"""Tables as a source; with KDPIPE_DATA set, the real Chinese tables as well."""

import json
import os
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdpipe.data.source import Example
from kdpipe.data.sources.table import TableSource
from kdpipe.errors import DataError

real_data = pytest.mark.skipif(
    not Path(os.environ.get("KDPIPE_DATA", "none"), "zh").is_dir(), reason="KDPIPE_DATA has no folder zh"
)


def table(folder, task="classification", text="text", label="label", files=None, **options):
    """Write texts to files by their names, and return the source that reads their folder."""
    for name, content in (files or {}).items():
        (folder / name).write_text(content)
    return TableSource(task=task, path=folder, text=text, label=label, **options)


def labels_of(source, split="train"):
    return [example.label for example in source.read(split)]


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_the_splits_of_a_folder_may_be_of_different_formats(tmp_path):
    files = {
        "train.tsv": "label\tb\ta\ny\tone\ttwo\nz\tone\ttwo\n",
        "dev.csv": 'a,b,label\n"t,w",o,y\n',
        "test.jsonl": jsonl({"b": "o", "a": "t"}),
    }
    source = table(tmp_path, text="a", text_pair="b", files=files)
    assert source.splits() == ("train", "validation", "test")
    assert source.labels == ("y", "z")
    assert [list(source.read(split)) for split in source.splits()] == [
        [Example("train:2", "two", "one", "y"), Example("train:3", "two", "one", "z")],
        [Example("validation:2", "t,w", "o", "y")],
        [Example("test:1", "t", "o")],
    ]


def test_a_split_in_two_formats_is_refused(tmp_path):
    files = dict.fromkeys(("train.tsv", "train.csv"), "text\na\n")
    with pytest.raises(
        DataError, match=r"one file of the split 'train', found train\.tsv, train\.csv; remove"
    ):
        table(tmp_path, files=files).splits()


def test_files_by_split_and_by_pattern(tmp_path):
    for label, name in enumerate(("b", "a", "hard")):
        (tmp_path / f"{name}.tsv").write_text(f"text\tlabel\n{name}\t{label % 2}\n")
    files = {"train": tmp_path / "[ab].tsv", "hard": tmp_path / "hard.tsv"}
    source = TableSource(task="classification", files=files, text="text", label="label")
    assert source.splits() == ("train", "hard")
    assert [example.id for example in source.read("train")] == ["train:a.tsv:2", "train:b.tsv:2"]
    assert [example.id for example in source.read("hard")] == ["hard:2"]


def test_the_order_of_rows_does_not_decide_that_of_classes(tmp_path):
    rows = ["a\t10", "b\t9", "c\t10"]
    for order in (rows, rows[::-1]):
        content = "\n".join(["text\tlabel", *order]) + "\n"
        assert table(tmp_path, files={"train.tsv": content}).labels == ("9", "10")


def test_given_classes_keep_their_order_and_may_be_more(tmp_path):
    source = table(tmp_path, files={"train.tsv": "text\tlabel\na\t1\n"}, classes=[2, 1, "0"])
    assert source.labels == ("2", "1", "0")
    assert labels_of(source) == ["1"]


def test_without_a_training_split_the_first_one_tells_the_classes(tmp_path):
    assert table(tmp_path, files={"dev.tsv": "text\tlabel\na\ty\nb\tx\n"}).labels == ("x", "y")


def test_declared_classes_keep_their_order(tmp_path):
    features = {"label": {"names": ["positive", "negative"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for split, label in (("train", 1), ("test", -1)):
        columns = pa.table({"text": ["a"], "label": [label]}).replace_schema_metadata(metadata)
        pq.write_table(columns, tmp_path / f"{split}.parquet")
    source = table(tmp_path)
    assert source.labels == ("positive", "negative")
    assert labels_of(source) == ["negative"]
    assert labels_of(source, "test") == [None]


def test_regression(tmp_path):
    source = table(tmp_path, "regression", files={"train.tsv": "text\tlabel\na\t2.50\nb\t-1e3\n"})
    assert source.labels is None
    assert labels_of(source) == [2.5, -1000.0]


def test_several_labels_as_a_list_or_in_one_text(tmp_path):
    files = {
        "train.jsonl": jsonl({"text": "a", "label": ["z", 1]}, {"text": "b", "label": []}),
        "test.csv": "text,label\na,z | 1\nb,\n",
    }
    source = table(tmp_path, "multi_label", files=files, separator="|")
    assert source.labels == ("1", "z")
    assert labels_of(source) == labels_of(source, "test") == [("z", "1"), ()]


def test_several_labels_as_columns(tmp_path):
    files = {"train.tsv": "x\ty\ttext\n0\t1\ta\n1\t1\tb\n", "test.tsv": "text\na\n"}
    source = table(tmp_path, "multi_label", label=["y", "x"], files=files)
    assert source.labels == ("y", "x")
    assert labels_of(source) == [("y",), ("y", "x")]
    assert labels_of(source, "test") == [None]


def test_text_for_language_modelling(tmp_path):
    source = table(tmp_path, "language_modeling", label=None, files={"train.tsv": "id\ttext\n1\ta\n"})
    assert source.labels is None
    assert list(source.read("train")) == [Example("train:2", "a")]


def test_a_training_split_without_labels_where_they_are_not_needed(tmp_path):
    files = {"train.tsv": "text\na\n", "dev.tsv": "text\tlabel\nb\ty\n"}
    source = table(tmp_path, files=files, labels="none", classes=["x", "y"])
    assert labels_of(source) == [None]
    assert labels_of(source, "validation") == ["y"]
    with pytest.raises(DataError, match=r"train\.tsv has no column 'label', only text; give them as `c"):
        _ = table(tmp_path, labels="none").labels
    with pytest.raises(
        DataError, match=r"train\.tsv:1: expected a column 'label', found text; there is text"
    ):
        labels_of(table(tmp_path, classes=["x", "y"]))


def test_without_any_column_of_labels_classes_must_be_given(tmp_path):
    files = {"train.tsv": "text\na\n"}
    assert labels_of(table(tmp_path, label=None, files=files, labels="none", classes=["x"])) == [None]
    with pytest.raises(DataError, match="no column is named as `label`; give them as `classes`"):
        _ = table(tmp_path, label=None, labels="none").labels


def test_an_empty_label_of_a_test_split_means_none(tmp_path):
    source = table(tmp_path, files={"train.tsv": "text\tlabel\na\ty\n", "test.tsv": "text\tlabel\nb\t\n"})
    assert labels_of(source, "test") == [None]


@pytest.mark.parametrize(
    ("labels", "found"), [("y\n,", "none after rows with"), ("\n,y", "'y' after rows wi")]
)
def test_labels_on_some_rows_of_a_split(tmp_path, labels, found):
    files = {
        "train.csv": "text,label\na,y\nb,z\n",
        "test.csv": f"text,label\na,{labels.replace(',', 'b,')}\n",
    }
    with pytest.raises(DataError, match=rf"test\.csv:3: expected labels on all rows .* found {found}"):
        labels_of(table(tmp_path, files=files), "test")


@pytest.mark.parametrize(("task", "label", "message"), [
    ("classification", "", r"train\.jsonl:1: expected a label that is .*, found an empty one"),
    ("classification", "z", r"train\.jsonl:1: expected a label out of x, y, found 'z'"),
    ("multi_label", ["x", "z"], r"train\.jsonl:1: expected a label out of x, y, found 'z'"),
    ("regression", "high", r"train\.jsonl:1: expected a number as label, found 'high'"),
])  # fmt: skip
def test_labels_that_are_not_of_the_task(tmp_path, task, label, message):
    files = {"train.jsonl": jsonl({"text": "a", "label": label})}
    with pytest.raises(DataError, match=message):
        labels_of(table(tmp_path, task, files=files, classes=["x", "y"]))


def test_a_column_of_neither_0_nor_1(tmp_path):
    source = table(tmp_path, "multi_label", label=["x"], files={"train.tsv": "text\tx\na\t2\n"})
    with pytest.raises(DataError, match=r"train\.tsv:2: column 'x': expected 0 or 1, found '2'"):
        labels_of(source)


@pytest.mark.parametrize(("content", "options", "message"), [
    ("a\tx\nb\tx\n", {}, r"train\.tsv: expected two classes or more, found only 'x'; get data with others"),
    ("a\tx\nb\tx \n", {}, r"train\.tsv: expected classes that differ, found 'x' and 'x '"),
    ("a\tx\n", {"classes": ["x"]}, r"classes: expected two classes or more, found only 'x'"),
    ("a\tx\n", {"classes": ["x", "y", "x"]}, r"classes: expected classes that differ, found 'x' and 'x'"),
    ("a\t1\n", {"classes": [1, "1"]}, r"classes: expected classes that differ, found '1' and '1'"),
    ("a\t\nb\t\n", {"task": "multi_label", "separator": ","}, r"train\.tsv: expected two .*, found none"),
    ("a\tx\nb\t\n", {"task": "multi_label", "separator": ","}, r"train\.tsv: .* only 'x'; .* makes two$"),
    ("a\t1\n", {"task": "multi_label", "label": ["label", "label"]}, "label: expected classes that differ"),
    ("a\tx\nb\ty\x07\n", {}, r"train\.tsv:3: expected a label that is a name .*, found 'y\\x07'; mend"),
    (f"a\t{'9' * 5000}\n", {}, r"train\.tsv:2: expected a label .*, found '9999.{,90}9999'; mend or"),
    (f"a\t{'9' * 5000}\n", {"task": "regression"}, r"train\.tsv:2: expected a number .* '99.{,90}9'"),
])  # fmt: skip
def test_classes_that_are_too_few_or_not_told_apart(tmp_path, content, options, message):
    source = table(tmp_path, files={"train.tsv": f"text\tlabel\n{content}"}, **options)
    with pytest.raises(DataError, match=message):
        _ = source.labels, list(source.read("train"))


@pytest.mark.parametrize("column", [
    pa.array([b"\xff"]), pa.array([["x"]]), pa.array([{"a": 1}]), pa.array([0.5]), pa.array([None]),
    pa.array([Decimal("1.5")]), pa.array([datetime(2020, 1, 1)]), pa.array([date(2020, 1, 1)]),
], ids=lambda column: str(column.type))  # fmt: skip
def test_columns_of_parquet_that_hold_something_else(tmp_path, column):
    pq.write_table(pa.table({"text": ["a"], "other": column}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"train\.parquet:1: expected a text in column 'other', found"):
        list(table(tmp_path, "language_modeling", text="other", label=None).read("train"))
    with pytest.raises(DataError, match=r"train\.parquet:1: expected a label that is a name or a whole"):
        list(table(tmp_path, label="other", classes=["x", "y"]).read("train"))
    with pytest.raises(DataError, match=r"train\.parquet:1: column 'other': expected 0 or 1, found"):
        list(table(tmp_path, "multi_label", label=["other", "text"]).read("train"))


def test_a_text_that_is_none(tmp_path):
    source = table(tmp_path, files={"train.jsonl": jsonl({"text": 3, "label": "y"})})
    with pytest.raises(DataError, match=r"train\.jsonl:1: expected a text in column 'text', found 3"):
        labels_of(source)


def test_a_held_out_label_that_training_lacks(tmp_path):
    files = {"train.tsv": "text\tlabel\na\tx\nb\ty\n", "dev.tsv": "text\tlabel\nc\tz\n"}
    with pytest.raises(DataError, match=r"dev\.tsv:2: expected a label out of x, y, found 'z'; .*`classes`"):
        labels_of(table(tmp_path, files=files), "validation")


def test_a_misspelt_column_of_labels(tmp_path):
    with pytest.raises(
        DataError, match=r"train\.tsv:1: expected a column 'lable', found text, label; did you"
    ):
        _ = table(tmp_path, label="lable", files={"train.tsv": "text\tlabel\na\tx\n"}).labels


def test_missing_files(tmp_path):
    source = TableSource(task="classification", files={"train": tmp_path / "t.csv"}, text="a", label="b")
    with pytest.raises(DataError, match=r"t\.csv: expected a file, found none"):
        labels_of(source)
    with pytest.raises(
        DataError, match=r"train, validation or valid or dev, test, each ending in \.tsv or \.csv"
    ):
        table(tmp_path).splits()


@real_data
@pytest.mark.parametrize(("split", "rows"), [("train", 9600), ("validation", 1200), ("test", 1200)])
def test_real_chinese_reviews(split, rows):
    source = table(Path(os.environ["KDPIPE_DATA"]) / "zh" / "ChnSentiCorp", text="text_a")
    assert source.labels == ("0", "1")
    assert len(labels_of(source, split)) == rows


@real_data
def test_real_chinese_inference():
    source = table(Path(os.environ["KDPIPE_DATA"]) / "zh" / "XNLI", text="text_a", text_pair="text_b")
    assert source.splits() == ("validation",)
    counts = Counter(labels_of(source, "validation"))
    assert counts == {"contradiction": 830, "entailment": 830, "neutral": 830}
