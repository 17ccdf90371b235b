from pathlib import Path

import pytest
from pydantic import ValidationError

from kdpipe.config.mistakes import explain
from kdpipe.config.settings.dataset import read_dataset, tasks_of

SOURCES = "there is glue, pydoc, squad, text"


def mistakes_in(value):
    with pytest.raises(ValidationError) as error:
        read_dataset(value)
    return explain(error.value)


def test_a_source_takes_its_own_options():
    settings = read_dataset({"source": "pydoc", "task": "classification", "packages": ["numpy"]})
    assert settings.options == {"packages": ["numpy"]}
    assert read_dataset({"source": "glue", "name": "MRPC"}).options == {"name": "MRPC"}


def test_files_by_split():
    settings = read_dataset({"source": "text", "train": "a", "test": "b", "splits": {"hard": "c"}})
    assert settings.files == {"train": Path("a"), "test": Path("b"), "hard": Path("c")}
    assert read_dataset({"source": "text", "path": "a"}).files == {}


@pytest.mark.parametrize("key", ["path", "train", "validation", "test", "splits"])
def test_a_source_without_files_refuses_them(key):
    value = {"source": "pydoc", key: {"x": "y"} if key == "splits" else "x"}
    assert mistakes_in(value) == [((key,), "source 'pydoc' reads no files; remove this")]


@pytest.mark.parametrize(("value", "where", "what"), [
    ({"source": "conll"}, "source", f"'conll' is not available in this version; {SOURCES}"),
    ({"source": "hub", "path": "x"}, "source", f"'hub' is not available in this version; {SOURCES}"),
    ({"source": "glu"}, "source", "'glu' is not known; did you mean 'glue'?"),
    ({"path": "x"}, "source", f"is required; {SOURCES}"),
    ({"augment": {"method": "x"}}, "augment", "not available in this version"),
    ({"source": "text", "stride": -1}, "stride", "should be greater than or equal to 0, found -1"),
    ({"source": "text", "pth": "x"}, "pth", "unknown key; did you mean 'path'?"),
    ({"source": "glue"}, "name", "is required"),
    ({"source": "text", "max_length": 3}, "max_length", "should be greater than or equal to 12, found 3"),
    ({"source": "text", "labels": "some"}, "labels", "'some' is not known; there is none"),
    ({"source": "text", "rows": 0}, "rows", "should be greater than or equal to 1, found 0"),
    ({"combine": []}, "combine", "expected at least one"),
    ({"combine": ["a"], "row": 3}, "row", "unknown key; did you mean 'rows'?"),
])  # fmt: skip
def test_mistakes(value, where, what):
    assert mistakes_in(value) == [((where,), what)]


def test_rows_of_the_training_split_or_of_each():
    assert read_dataset({"source": "text", "rows": "1e4"}).rows == 10_000
    assert read_dataset({"source": "text", "rows": {"train": 3, "test": 2}}).rows == {"train": 3, "test": 2}
    assert mistakes_in({"source": "text", "rows": {"train": 0}}) == [
        (("rows", "train"), "should be greater than or equal to 1, found 0")
    ]


def test_a_combination_of_one_may_be_a_name():
    assert read_dataset({"combine": "a"}).combine == ("a",)


def test_tasks_are_read_from_the_source():
    assert tasks_of("pydoc") == ("language_modeling", "classification")
    assert tasks_of("glue") == ("classification",)
