"""Lines of text files, in any encoding."""

import gzip
import os

import pytest

from kdpipe.data.files import SplitFiles
from kdpipe.data.lines import parse_json, read_lines
from kdpipe.errors import DataError


def test_lines_end_at_line_feeds_only(tmp_path):
    file = tmp_path / "text"
    file.write_bytes("\ufeffone\r\ntwo\u2028still two\x0c\n\nlast".encode())
    assert list(read_lines(file)) == [
        (1, "one"),
        (2, "two\u2028still two\x0c"),
        (3, ""),
        (4, "last"),
    ]


def test_other_encodings_are_refused_by_line(tmp_path):
    file = tmp_path / "text"
    file.write_bytes("plain\ncafé\n".encode("latin-1"))
    with pytest.raises(
        DataError, match=r"text:2: expected UTF-8 text, found byte 0xe9 at column 4; .*latin-1"
    ):
        list(read_lines(file))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_half_a_character_is_no_carriage_return(tmp_path, encoding):
    file = tmp_path / "text"
    file.write_text("\u010daj \u0d05", encoding=encoding)
    assert list(read_lines(file, encoding)) == [(1, "\u010daj \u0d05")]


TEXT = "ÄÖ\r\n\u0a0a\u0a41 \u410a\n\n\N{FIRE} last"


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "utf-7"]
)
def test_lines_in_any_encoding(tmp_path, encoding, ending):
    content = TEXT.encode(encoding)
    file = tmp_path / f"text{ending}"
    file.write_bytes(gzip.compress(content) if ending else content)
    assert list(read_lines(file, encoding)) == [
        (1, "ÄÖ"), (2, "\u0a0a\u0a41 \u410a"), (3, ""), (4, "\N{FIRE} last"),
    ]  # fmt: skip


@pytest.mark.parametrize(("content", "encoding", "message"), [
    (b"a\nb\x81\n", "cp1252", "text:2: expected cp1252 text, found byte 0x81 at column 2; give"),
    ("one\n".encode("utf-16") + b"\0", "utf-16", "text:2: expected utf-16 text, found byte 0x00 at column 1"),
    (b"one\n", "utf-16", "text:1: expected utf-16 text, found UTF-16 stream does not start with BOM; give"),
])  # fmt: skip
def test_what_is_not_in_the_encoding(tmp_path, content, encoding, message):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_lines(tmp_path / "text", encoding))


@pytest.mark.parametrize(("content", "message"), [
    ("one\n".encode("utf-16"), "text:1: expected UTF-8 text, found byte 0xff at .* such as utf-16, "),
    ("one\n".encode("utf-16-le"), "text:1: expected UTF-8 text, found a NUL at .* such as utf-16-le"),
    (b"one\ntw\0o\n", "text:2: expected UTF-8 text, found a NUL at column 3"),
    (gzip.compress(b"one\n", mtime=0), r"text: expected text, found what gzip has packed; .* end in \.gz"),
    (b"one\rtwo\r", "text:1: expected lines that end in line feeds, found only carriage returns; convert"),
])  # fmt: skip
def test_what_is_no_text(tmp_path, content, message):
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_lines(tmp_path / "text"))


def make(path, what):
    """Put at a path what is no file."""
    match what:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path.name)
        case "link to nothing":
            path.symlink_to("nothing")


@pytest.mark.parametrize(("what", "found"), [
    ("folder", "a folder"),
    ("pipe", "a pipe, a socket or a device"),
    ("device", "a pipe, a socket or a device"),
    ("loop", "none"),
    ("link to nothing", "none"),
])  # fmt: skip
def test_what_is_no_file_is_not_opened(tmp_path, what, found):
    make(tmp_path / "valid.txt", what)
    files = SplitFiles(tmp_path, {}, {"validation": ("valid.txt",)})
    assert files.names() == ("validation",)
    with pytest.raises(DataError, match=rf"valid\.txt: expected a file, found {found}; "):
        list(read_lines(files.file("validation")))


def test_a_name_that_no_file_can_have(tmp_path):
    with pytest.raises(DataError, match="expected a file that can be read, found: File name too long"):
        list(read_lines(tmp_path / ("a" * 300)))


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(DataError, match="none: expected a file"):
        list(read_lines(tmp_path / "none"))
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty:1: expected at least one line"):
        list(read_lines(tmp_path / "empty"))


def test_what_is_json():
    assert parse_json('{"a": [1, {"b": null}]}', "f.json") == {"a": [1, {"b": None}]}


@pytest.mark.parametrize(("text", "message"), [
    ("[1,\n oops]", r"f\.json:8: expected JSON, found a mistake at column 2 \(Expecting value\); mend"),
    ("", r"f\.json:7: expected JSON, found a mistake at column 1"),
    ("[" * 99_999, r"f\.json:7: expected JSON, found lists or objects in each other that are too many"),
    ('{"a":' * 99_999, r"f\.json:7: expected JSON, found lists or objects in each other"),
    ("9" * 5_000, r"f\.json:7: .*, found Exceeds the limit \(4300 digits\) for .* has 5000 digits; mend it"),
    ('{"b": 1, "a": 2, "a": 3}', r"f\.json:7: expected JSON, found the key 'a' twice in one object"),
])  # fmt: skip
def test_what_is_none(text, message):
    with pytest.raises(DataError, match=message):
        parse_json(text, "f.json", 7)
