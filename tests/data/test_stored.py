"""Parquet files, with classes that their metadata declares."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from kdpipe.data.source import Example
from kdpipe.data.sources.table import TableSource
from kdpipe.data.stored import BATCH_ROWS, StoredTable
from kdpipe.data.table_files import read_rows
from kdpipe.errors import DataError

CLASSES = {"names": ["positive", "negative"], "_type": "ClassLabel"}


@pytest.fixture
def table(tmp_path):
    """A function that writes columns, with what the metadata declares of them, and returns the table."""

    def write(features=None, **columns):
        metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), tmp_path / "t.parquet")
        return StoredTable(tmp_path / "t.parquet")

    return write


def test_rows_are_numbered_through_all_batches(table):
    rows = BATCH_ROWS + 2
    found = list(table(n=list(range(rows)), other=["x"] * rows).cells(["n"]))
    assert found == [(n + 1, {"n": n}) for n in range(rows)]


@pytest.mark.parametrize(("feature", "label", "named"), [
    (CLASSES, [1, 0, -1, None], ["negative", "positive", None, None]),
    ({"feature": CLASSES, "_type": "List"}, [[1, 0], []], [["negative", "positive"], []]),
    ([CLASSES], [[1], [0]], [["negative"], ["positive"]]),
])  # fmt: skip
def test_declared_classes_are_read_by_name(table, feature, label, named):
    declaring = table(
        {"label": feature, "n": {"dtype": "int64", "_type": "Value"}}, label=label, n=range(len(label))
    )
    assert declaring.class_names("label") == ("positive", "negative")
    assert declaring.class_names("n") is None
    assert [cells["label"] for _, cells in declaring.cells(["label", "n"])] == named


def test_without_declared_classes_values_are_as_they_are(table):
    plain = table(label=[1, 0])
    assert plain.class_names("label") is None
    assert [cells["label"] for _, cells in plain.cells(["label"])] == [1, 0]


def test_a_class_beyond_those_declared(table):
    with pytest.raises(
        DataError, match=r"t\.parquet:2: expected the number of one of 2 declared classes, found 2"
    ):
        list(table({"label": CLASSES}, label=[0, 2]).cells(["label"]))


@pytest.mark.parametrize(("content", "message"), [
    ("{", "expected metadata 'huggingface' as `datasets` writes them, found: "),
    ('{"info": 3}', "expected metadata 'huggingface' as `datasets` writes them, found: "),
    ({"_type": "ClassLabel", "names": 3}, "expected metadata 'huggingface' as `datasets` writes them"),
    ({**CLASSES, "names": ["n", "n "]}, "column 'label': expected classes that differ, found 'n' and 'n '"),
    ({**CLASSES, "names": ["n", "p\0"]}, r"column 'label': expected a label .* found 'p\\x00'"),
])  # fmt: skip
def test_broken_metadata(tmp_path, content, message):
    if isinstance(content, dict):
        content = json.dumps({"info": {"features": {"label": content}}})
    columns = pa.table({"text": ["a"], "label": [0]}).replace_schema_metadata({"huggingface": content})
    pq.write_table(columns, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=rf"t\.parquet: .*{message}"):
        list(read_rows(tmp_path / "t.parquet", ["text", "label"]))


def test_values_that_python_does_not_have(table):
    times = pa.array([0, 1, 2**62], pa.timestamp("us"))
    with pytest.raises(DataError, match=r"t\.parquet:1: expected rows that can be read"):
        list(table(time=times).cells(["time"]))


def test_a_column_that_is_there_twice(tmp_path):
    pq.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet:1: expected one column 'text', found 2"):
        list(read_rows(tmp_path / "t.parquet", ["text"]))


def test_text_that_is_not_utf8(table):
    good = ["x"] * (BATCH_ROWS + 5)
    texts = pa.array([*good, "é", "x"]).buffers()
    broken = pa.py_buffer(texts[2].to_pybytes().replace("é".encode(), b"x\xff"))
    written = table(text=pa.StringArray.from_buffers(len(good) + 2, texts[1], broken))
    with pytest.raises(DataError, match=rf"t\.parquet:{BATCH_ROWS + 1}: expected rows that can be read"):
        list(written.cells(["text"]))


def test_a_damaged_page(tmp_path):
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"n": range(9999)}), file, use_dictionary=False, compression="gzip")
    content = bytearray(file.read_bytes())
    content[100:200] = bytes(100)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.parquet:1: expected rows that can be read"):
        list(StoredTable(file).cells(["n"]))


@pytest.mark.parametrize("content", [b"", b"text"])
def test_what_is_no_parquet(tmp_path, content):
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(
        DataError,
        match=r"t\.parquet: expected Parquet, JSON or a folder of `save_to_disk` by its name, found",
    ):
        StoredTable(tmp_path / "t.parquet").columns()
    whole = pa.BufferOutputStream()
    pq.write_table(pa.table({"n": range(9)}), whole)
    (tmp_path / "t.parquet").write_bytes(whole.getvalue().to_pybytes()[:-99])
    with pytest.raises(
        DataError,
        match=r"t\.parquet: expected Parquet, JSON or .* found something else: [^\n]*$",
    ):
        StoredTable(tmp_path / "t.parquet").columns()
    with pytest.raises(DataError, match=r"none\.parquet: expected a file, found none"):
        StoredTable(tmp_path / "none.parquet").columns()


ROWS = [{"review": {"text": "a", "stars": 1}, "label": 1}, {"review": {"text": "b", "stars": 2}, "label": 0}]


@pytest.mark.parametrize("lines", [True, False])
def test_json_as_an_array_or_a_line_each_with_fields_in_fields(tmp_path, lines):
    content = "\n".join(map(json.dumps, ROWS)) if lines else json.dumps(ROWS, indent=1)
    (tmp_path / "a [b].json").write_text(content)
    found = list(read_rows(tmp_path / "a [b].json", ["review.text", "label"]))
    assert found == [(1, {"review.text": "a", "label": 1}), (2, {"review.text": "b", "label": 0})]
    with pytest.raises(DataError, match=r"json:1: expected a column 'review.txt', .* mean 'review.text'"):
        list(read_rows(tmp_path / "a [b].json", ["review.txt"]))
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    assert [cells["review.text"] for _, cells in read_rows(tmp_path / "a.jsonl", ["review.text"])] == [
        "a",
        "b",
    ]


def test_broken_json(tmp_path):
    (tmp_path / "t.json").write_text('[{"a": 1}, {"a": ')
    with pytest.raises(DataError, match=r"t\.json: expected Parquet, JSON .* found something else: [^\n]+$"):
        list(read_rows(tmp_path / "t.json", ["a"]))


def test_folders_of_save_to_disk(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    rows = Dataset.from_list([{"text": "a", "label": 1}, {"text": "b", "label": 0}], features=features)
    DatasetDict({"train": rows, "dev": rows, "hard": rows}).save_to_disk(tmp_path / "several")
    rows.save_to_disk(tmp_path / "one")
    several = TableSource(task="classification", path=tmp_path / "several", text="text", label="label")
    assert several.splits() == ("train", "validation", "hard")
    assert several.labels == ("bad", "good")
    expected = [Example("train:1", "a", label="good"), Example("train:2", "b", label="bad")]
    assert list(several.read("train")) == expected
    assert list(several.peek("train")) == []
    one = TableSource(task="classification", path=tmp_path / "one", text="text", label="label")
    assert list(one.read("train")) == expected
