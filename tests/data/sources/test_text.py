"""Plain text."""

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


def test_reads_lazily(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"good\n\xff bad\n")
    examples = TextSource(task="language_modeling", path=tmp_path).read("train")
    assert next(examples).text == "good"
    with pytest.raises(DataError, match=r"train\.txt:2: expected UTF-8"):
        next(examples)


def test_only_blank_lines(tmp_path):
    (tmp_path / "train.txt").write_text(" \n\n")
    source = TextSource(task="language_modeling", path=tmp_path)
    with pytest.raises(DataError, match=r"train\.txt:1: expected lines of text"):
        list(source.read("train"))
