"""Parquet files, with classes that their metadata declares."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdpipe.data.parquet import BATCH_ROWS, ParquetTable
from kdpipe.data.tables import read_rows
from kdpipe.errors import DataError

CLASSES = {"names": ["positive", "negative"], "_type": "ClassLabel"}


@pytest.fixture
def table(tmp_path):
    """A function that writes columns, with what the metadata declares of them, and returns the table."""

    def write(features=None, **columns):
        metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), tmp_path / "t.parquet")
        return ParquetTable(tmp_path / "t.parquet")

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
    ("{", "metadata 'huggingface':1: expected JSON, found a mistake at column 2"),
    (b"\xff\xfe", "metadata 'huggingface':1: expected JSON, found a mistake at column 1"),
    ("[" * 99_999, "metadata 'huggingface':1: expected JSON, found lists or objects in each other"),
    ("[]", r"metadata 'huggingface': expected an object, found \[\]; write the file anew"),
    ("null", "expected an object, found None"),
    ('{"info": 3}', "expected an object, found 3"),
    ('{"info": []}', r"expected an object, found \[\]"),
    ('{"info": {"features": ["label"]}}', r"expected an object, found \['label'\]"),
    ({"_type": "ClassLabel"}, "column 'label': expected a list of classes, found None"),
    ({"_type": "ClassLabel", "names": {"0": "a"}}, "column 'label': expected a list of classes, found {"),
    ({**CLASSES, "names": ["n", "n"]}, "column 'label': expected classes that differ, found 'n' and 'n'"),
    ({**CLASSES, "names": ["n", "n "]}, "column 'label': expected classes that differ, found 'n' and 'n '"),
    ({**CLASSES, "names": ["n", ["p"]]}, r"column 'label': expected a label .* found \['p'\]"),
    ({**CLASSES, "names": ["n", "p\0"]}, r"column 'label': expected a label .* found 'p\\x00'"),
])  # fmt: skip
def test_broken_metadata(tmp_path, content, message):
    if isinstance(content, dict):
        content = json.dumps({"info": {"features": {"label": content}}})
    columns = pa.table({"text": ["a"], "label": [0]}).replace_schema_metadata({"huggingface": content})
    pq.write_table(columns, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=rf"t\.parquet: .*{message}"):
        list(read_rows(tmp_path / "t.parquet", ["text", "label"]))


@pytest.mark.parametrize(
    "content",
    ["{}", '{"info": null}', '{"info": {"features": null}}', '{"info": {"features": {"label": []}}}'],
)
def test_metadata_that_declare_nothing(tmp_path, content):
    columns = pa.table({"label": [0]}).replace_schema_metadata({"huggingface": content})
    pq.write_table(columns, tmp_path / "t.parquet")
    assert ParquetTable(tmp_path / "t.parquet").class_names("label") is None


def test_lists_in_each_other_are_no_classes(table):
    feature: object = CLASSES
    for _ in range(300):
        feature = {"feature": feature}
    assert table({"label": feature}, label=[0]).class_names("label") == ("positive", "negative")


def test_values_that_python_does_not_have(table):
    times = pa.array([0, 1, 2**62], pa.timestamp("us"))
    with pytest.raises(DataError, match=r"t\.parquet:3: expected values that Python has, found: .*; write"):
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
    with pytest.raises(DataError, match=rf"t\.parquet:{len(good) + 1}: expected UTF-8 text, found byte 0xff"):
        list(written.cells(["text"]))


def test_a_damaged_page(tmp_path):
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"n": range(9999)}), file, use_dictionary=False, compression="gzip")
    content = bytearray(file.read_bytes())
    content[100:200] = bytes(100)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.parquet:1: expected a whole Parquet file, found: "):
        list(ParquetTable(file).cells(["n"]))


@pytest.mark.parametrize("content", [b"", b"text"])
def test_what_is_no_parquet(tmp_path, content):
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.parquet: expected a Parquet file, found something else"):
        ParquetTable(tmp_path / "t.parquet").columns()
    whole = pa.BufferOutputStream()
    pq.write_table(pa.table({"n": range(9)}), whole)
    (tmp_path / "t.parquet").write_bytes(whole.getvalue().to_pybytes()[:-99])
    with pytest.raises(
        DataError, match=r"t\.parquet: expected a Parquet file, found something else: [^\n]*$"
    ):
        ParquetTable(tmp_path / "t.parquet").columns()
    with pytest.raises(DataError, match=r"none\.parquet: expected a file, found none"):
        ParquetTable(tmp_path / "none.parquet").columns()
