"""Rows of tables in all formats."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdpipe.data.table_files import SUFFIXES, Form, open_table, read_rows
from kdpipe.errors import DataError

ROWS = [("good film", "yes"), ("bad, “dull”", "no"), ("a\u2028b\x85c", "yes")]


@pytest.fixture
def file(tmp_path):
    """A function that writes a text or bytes to a file of a name and returns its path."""

    def write(name, content):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


def content_of(ending):
    match ending.removesuffix(".gz"):
        case ".tsv":
            text = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS)
        case ".csv":
            text = "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS)
        case ".jsonl" | ".json":
            rows = [{"text": text, "label": label} for text, label in ROWS]
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        case _:
            sink = pa.BufferOutputStream()
            texts, labels = zip(*ROWS, strict=True)
            pq.write_table(pa.table({"text": texts, "label": labels}), sink)
            return sink.getvalue().to_pybytes()
    return gzip.compress(text.encode()) if ending.endswith(".gz") else text


@pytest.mark.parametrize(("name", "content", "form"), [
    ("t.csv", 'text;label\n"a; ""b"", c";yes\n', Form(";")),
    ("t.csv", 'text\tlabel\n"a; ""b"", c"\tyes\n', Form("\t")),
    ("t.csv", 'text|label\r\n"a; ""b"", c"|yes\r\n'.encode("utf-16"), Form("|", "utf-16")),
    ("t.tsv", 'text|label\na; "b", c|yes\n', Form("|")),
    ("t.tsv", 'text\tlabel\na; "b", c\tyes\n'.encode("utf-16-be"), Form(encoding="utf-16-be")),
    ("t.jsonl", '{"text": "a; \\"b\\", c", "label": "yes"}\n'.encode("utf-32"), Form(encoding="utf-32")),
])  # fmt: skip
def test_other_delimiters_and_encodings(file, name, content, form):
    rows = [cells for _, cells in read_rows(file(name, content), ["text", "label"], form)]
    assert rows == [{"text": 'a; "b", c', "label": "yes"}]


@pytest.mark.parametrize(("name", "mark", "written"), [
    ("t.csv", ";", '";"'), ("t.csv", "\t", r'"\\t"'), ("t.tsv", ",", '","'), ("t.csv", "|", r'"\|"'),
])  # fmt: skip
def test_another_delimiter_is_told_with_its_remedy(file, name, mark, written):
    path = file(name, f"id{mark}text{mark}label\n1{mark}a, b{mark}yes\n")
    with pytest.raises(
        DataError, match=rf"{name}:1: expected a column 'text', .*; give `delimiter: {written}`"
    ):
        list(read_rows(path, ["text"]))


@pytest.mark.parametrize("ending", SUFFIXES)
def test_every_format_holds_the_same(file, ending):
    path = file(f"some.table{ending}", content_of(ending))
    assert list(open_table(path).columns()) == ["text", "label"]
    first = 2 if ending[:4] in (".tsv", ".csv") else 1
    expected = [(line, {"text": text, "label": label}) for line, (text, label) in enumerate(ROWS, first)]
    assert list(read_rows(path, ["label", "text"])) == expected


def test_quotation_marks_are_text_in_tsv(file):
    path = file("t.tsv", '\ufefftext\tlabel\r\n"a, ""b\tx"\r\n')
    assert list(read_rows(path, ["text"])) == [(2, {"text": '"a, ""b', "label": 'x"'})]


def test_quotation_marks_quote_in_csv(file):
    path = file("t.csv", '\ufefftext,label\r\n"a ""b"", c\r\nd",x\r\n"e\ne",x\nf 5" g,x\r\n')
    assert [(line, cells["text"]) for line, cells in read_rows(path, ["text"])] == [
        (2, 'a "b", c\r\nd'), (4, "e\ne"), (6, 'f 5" g'),
    ]  # fmt: skip


def test_rows_are_read_lazily(file):
    rows = read_rows(file("t.csv", b"text,label\n" + 9_999 * b"a,y\n" + b"\xff,y\n"), ["text"])
    assert next(rows)[0] == 2
    with pytest.raises(DataError, match=r"t\.csv:10001: expected UTF-8 text, found byte 0xff"):
        list(rows)


@pytest.mark.parametrize("ending", [".tsv", ".csv", ".jsonl"])
def test_blank_lines_at_the_end_are_no_rows(file, ending):
    path = file(f"t{ending}", content_of(ending) + "\n \r\n\n")
    assert [cells["text"] for _, cells in read_rows(path, ["text"])] == [text for text, _ in ROWS]


def test_a_column_that_is_not_needed_may_be_there_twice(file):
    assert [cells["text"] for _, cells in read_rows(file("t.csv", "a,text,a\n1,b,2\n"), ["text"])] == ["b"]


@pytest.mark.parametrize(("name", "content", "message"), [
    ("t.tsv", "text\tlabel\na\ty\nb\n", r"t\.tsv:3: expected 2 columns \(text, label\), found 1; mend"),
    ("t.csv", "text,label\na,y,z\n", r"t\.csv:2: expected 2 columns \(text, label\), found 3"),
    ("t.csv", "text,label\na,y\n\nb,y\n", r"t\.csv:3: expected 2 columns \(text, label\), found 0"),
    ("t.csv", 'text,label\n"a\nb",y\n"c,y\n', r"t\.csv:4: expected delimited .*: unexpected end of data"),
    ("t.csv", 'text,label\n"a"b,y\n', r"t\.csv:2: expected delimited values as in RFC 4180"),
    ("t.csv", "text,label\na\rb,y\n", r"t\.csv:2: expected delimited values as in RFC 4180"),
    ("t.tsv", "txt\tlabel\na\ty\n", r"t\.tsv:1: expected a column 'text', found txt, label; did you mean"),
    ("t.tsv", "text\ttext\tlabel\na\tb\ty\n", r"t\.tsv:1: expected one column 'text', found 2; rename or"),
    ("t.jsonl", '{"text": "a"}\n{"txt": "b"}\n', r"t\.jsonl:2: expected a column 'text', found txt; did you"),
    ("t.jsonl", '{"text": "a"}\n{"text": \n', r"t\.jsonl:2: expected JSON, found a mistake at column 10"),
    ("t.jsonl", '{"text": "\\uD83D\\ude00"}\n{"text": "\\ud83d"}\n', r"jsonl:2: .* found \\ud83d, half of a"),
    ("t.jsonl", '{"text": "a"}\n' + "[" * 99_999, r"t\.jsonl:2: .* found lists or objects in each other"),
    ("t.jsonl", '{"text": "a"}\n\n{"text": "b"}', r"t\.jsonl:2: expected JSON, found a mistake at column 1"),
    ("t.jsonl", '{"text": "a", "text": "b"}', r"t\.jsonl:1: expected JSON, found the key 'text' twice"),
    ("t.jsonl", '{"text": "a", "n": ' + "9" * 5_000 + "}", r"jsonl:1: .* Exceeds the limit \(4300 digits"),
    ("t.jsonl", '{"text": "a"}\n["b"]\n', r"t\.jsonl:2: expected a JSON object, such as .*, found \['b'\]"),
    ("t.tsv", "", r"t\.tsv:1: expected at least one line, found an empty file"),
    ("t.tsv", "\n \n", r"t\.tsv: expected at least one row, found none"),
    ("t.csv", "text,label\n", r"t\.csv: expected at least one row, found none; remove"),
    ("t.csv", "", r"t\.csv:1: expected at least one line, found an empty file"),
    ("t.jsonl", "", r"t\.jsonl:1: expected at least one line, found an empty file"),
    ("t.tsv", "text\ncafé\n".encode("latin-1"), r"t\.tsv:2: expected UTF-8 text, found byte 0xe9 at col"),
    ("t.xls", "text", r"t\.xls: expected a name that ends in \.tsv, \.csv, \.jsonl, \.json, \.parquet"),
    ("t.parquet.gz", "text", r"t\.parquet\.gz: expected a name that ends in"),
])  # fmt: skip
def test_malformed_files(file, name, content, message):
    path = file(name, content)
    with pytest.raises(DataError, match=message):
        list(read_rows(path, ["text"]))
