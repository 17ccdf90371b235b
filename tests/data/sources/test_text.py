"""Plain text."""

import gzip

import pytest

from kdpipe.data.source import Example
from kdpipe.data.sources.text import TextSource
from kdpipe.errors import DataError


def test_lines_that_are_not_blank(tmp_path):
    (tmp_path / "train.txt").write_text("one\n\n  two \n \nthree", encoding="utf-8")
    (tmp_path / "valid.txt").write_text("four\n", encoding="utf-8")
    source = TextSource(task="language_modeling", path=tmp_path)
    assert source.splits() == ("train", "validation")
    assert source.labels is None
    assert list(source.read("train")) == [
        Example("train:1", "one"),
        Example("train:3", "two"),
        Example("train:5", "three"),
    ]


def test_named_files(tmp_path):
    (tmp_path / "book").write_text("five\n", encoding="utf-8")
    source = TextSource(task="language_modeling", files={"train": tmp_path / "book"})
    assert [example.text for example in source.read("train")] == ["five"]


def test_files_by_pattern_are_read_in_sorted_order(tmp_path):
    (tmp_path / "deep").mkdir()
    for name, text in {
        "b.txt": "two\n\nthree\n",
        "a.txt": "one\n",
        "deep/c.txt": "four\n",
        "d.md": "x",
    }.items():
        (tmp_path / name).write_text(text)
    source = TextSource(task="language_modeling", path=tmp_path / "*.txt")
    assert source.splits() == ("train",)
    assert list(source.read("train")) == [
        Example("train:a.txt:1", "one"), Example("train:b.txt:1", "two"), Example("train:b.txt:3", "three"),
    ]  # fmt: skip
    source = TextSource(task="language_modeling", files={"train": tmp_path / "**" / "*.txt"})
    assert [example.id for example in source.read("train")][-1] == "train:deep/c.txt:1"


def test_packed_files(tmp_path):
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress("\ufeffone\r\n\ntwo".encode()))
    source = TextSource(task="language_modeling", path=tmp_path)
    assert list(source.read("train")) == [Example("train:1", "one"), Example("train:3", "two")]


def test_a_pattern_that_matches_nothing(tmp_path):
    with pytest.raises(DataError, match=r"expected data files train, .* found nothing at .*\*\.txt"):
        TextSource(task="language_modeling", path=tmp_path / "*.txt").splits()
    source = TextSource(task="language_modeling", files={"train": tmp_path / "*.txt"})
    with pytest.raises(DataError, match=r"\*\.txt: expected a file, found none"):
        list(source.read("train"))


def test_reads_lazily(tmp_path):
    (tmp_path / "train.txt").write_bytes(9_999 * b"good\n" + b"\xff bad\n")
    examples = TextSource(task="language_modeling", path=tmp_path).read("train")
    assert next(examples).text == "good"
    with pytest.raises(
        DataError, match=r"train\.txt:10000: expected UTF-8 text, found byte 0xff at column 1;"
    ):
        list(examples)


def test_only_blank_lines(tmp_path):
    (tmp_path / "train.txt").write_text(" \n\n")
    source = TextSource(task="language_modeling", path=tmp_path)
    with pytest.raises(DataError, match=r"train\.txt:1: expected lines of text"):
        list(source.read("train"))
