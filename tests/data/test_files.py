"""Finding the files of splits, and reading lines."""

import gzip
import os

import pytest

from kdpipe.data.files import SplitFiles, read_lines
from kdpipe.errors import DataError

LAYOUT = {
    "train": ("train.txt",),
    "validation": ("validation.txt", "valid.txt"),
    "test": ("t.txt",),
}


def touch(folder, *names):
    for name in names:
        (folder / name).write_text("text\n")


def test_usual_layout(tmp_path):
    touch(tmp_path, "valid.txt", "train.txt")
    files = SplitFiles(tmp_path, {}, LAYOUT)
    assert files.names() == ("train", "validation")
    assert files.file("validation") == tmp_path / "valid.txt"


def test_two_files_of_a_split_are_refused(tmp_path):
    touch(tmp_path, "valid.txt", "validation.txt", "train.txt")
    with pytest.raises(DataError, match=r"split 'validation', found validation\.txt, valid\.txt; remove"):
        SplitFiles(tmp_path, {}, LAYOUT).names()
    named = SplitFiles(tmp_path, {"validation": tmp_path / "valid.txt"}, LAYOUT)
    assert named.file("validation") == tmp_path / "valid.txt"


def test_files_stand_before_the_folder_and_add_to_it(tmp_path):
    touch(tmp_path, "train.txt", "other.txt")
    other = tmp_path / "other.txt"
    files = SplitFiles(tmp_path, {"zebra": other, "ant": other, "train": other}, LAYOUT)
    assert files.names() == ("train", "ant", "zebra")
    assert files.file("train") == other


def test_a_single_file_is_train(tmp_path):
    touch(tmp_path, "book.txt")
    files = SplitFiles(tmp_path / "book.txt", {}, LAYOUT)
    assert files.names() == ("train",)


@pytest.mark.parametrize("path", ["missing", None])
def test_nothing_found_says_what_was_expected(tmp_path, path):
    files = SplitFiles(path and tmp_path / path, {}, LAYOUT)
    with pytest.raises(DataError) as error:
        files.names()
    for part in ("train.txt", "validation.txt or valid.txt", "data_dir", "KDPIPE_DATA"):
        assert part in str(error.value)


def test_a_split_without_a_file(tmp_path):
    touch(tmp_path, "train.txt")
    with pytest.raises(DataError, match="expected a split 'test', found train"):
        SplitFiles(tmp_path, {}, LAYOUT).file("test")


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
    with pytest.raises(DataError, match=r"text:2: expected UTF-8 text, found byte 0xe9 at column 4"):
        list(read_lines(file))


@pytest.mark.parametrize(("content", "message"), [
    ("one\n".encode("utf-16"), "text:1: expected UTF-8 text, found byte 0xff at column 1; convert"),
    ("one\n".encode("utf-16-le"), "text:1: expected UTF-8 text, found a NUL at column 2; convert .* UTF-16"),
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
    files = SplitFiles(tmp_path, {}, LAYOUT)
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
