from pathlib import Path

import pytest
from pydantic import ValidationError

from kdpipe import catalog
from kdpipe.config.mistakes import explain
from kdpipe.config.settings.dataset import read_dataset, tasks_of

SOURCES = f"there is {', '.join(sorted(catalog.SOURCES))}"


def mistakes_in(value):
    with pytest.raises(ValidationError) as error:
        read_dataset(value)
    return explain(error.value)


def test_a_source_takes_its_own_options():
    settings = read_dataset({"source": "pydoc", "task": "classification", "packages": ["numpy"]})
    assert settings.options == {"packages": ["numpy"]}
    assert read_dataset({"source": "glue", "name": "MRPC"}).options == {"name": "MRPC", "encoding": "utf-8"}


def test_files_by_split():
    settings = read_dataset({"source": "text", "train": "a", "test": "b", "splits": {"hard": "c"}})
    assert settings.files == {"train": Path("a"), "test": Path("b"), "hard": Path("c")}
    assert read_dataset({"source": "text", "path": "a"}).files == {}


def test_local_files_are_those_of_folders_and_patterns(tmp_path):
    for name in ("b.txt", "a.txt", "x.md"):
        (tmp_path / name).touch()
    folder = read_dataset({"source": "text", "path": str(tmp_path)})
    assert [path.name for path in folder.local_files()] == ["a.txt", "b.txt", "x.md"]
    files = read_dataset({"source": "text", "train": f"{tmp_path}/*.txt", "test": f"{tmp_path}/none.txt"})
    assert [path.name for path in files.local_files()] == ["a.txt", "b.txt"]


def test_a_label_may_be_one_column_or_several():
    table = {"source": "table", "text": "t"}
    assert read_dataset({**table, "label": "l"}).options["label"] == "l"
    assert read_dataset({**table, "label": ["a", "b"]}).options["label"] == ["a", "b"]
    assert read_dataset({**table, "classes": ["a", 1]}).options["classes"] == ["a", 1]


@pytest.mark.parametrize("key", ["path", "train", "validation", "test", "splits"])
def test_a_source_without_files_refuses_them(key):
    value = {"source": "pydoc", key: {"x": "y"} if key == "splits" else "x"}
    assert mistakes_in(value) == [((key,), "source 'pydoc' reads no files; remove this")]


@pytest.mark.parametrize(("value", "where", "what"), [
    ({"source": "glu"}, "source", "'glu' is not known; did you mean 'glue'?"),
    ({"path": "x"}, "source", f"is required; {SOURCES}"),
    ({"source": "text", "stride": -1}, "stride", "should be greater than or equal to 0, found -1"),
    ({"source": "text", "pth": "x"}, "pth", "unknown key; did you mean 'path'?"),
    ({"source": "glue"}, "name", "is required"),
    ({"source": "table", "label": "l"}, "text", "is required"),
    ({"source": "text", "max_length": 3}, "max_length", "should be greater than or equal to 12, found 3"),
    ({"source": "text", "labels": "some"}, "labels", "'some' is not known; there is `none` alone"),
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


@pytest.mark.parametrize("name", ["../x", "a/b", "", "train.examples", "-x"])
def test_splits_are_named_as_files_can_be(name):
    assert mistakes_in({"source": "text", "splits": {"hard": "a", name: "b"}}) == [
        (("splits", name), "expected a name of letters, digits, `_`, `-`; files are called by it")
    ]


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_usual_splits_are_named_by_their_own_settings(name):
    assert mistakes_in({"source": "text", "splits": {name: "b"}}) == [
        (("splits", name), "is a setting of its own; give it beside `splits`")
    ]


def test_a_combination_of_one_may_be_a_name():
    assert read_dataset({"combine": "a"}).combine == ("a",)


@pytest.mark.parametrize(("proportions", "where", "what"), [
    ([1], ("proportions",), "expected one for each of the 2 parts a, b, found 1"),
    ([1, 0], ("proportions", 1), "should be greater than 0, found 0"),
    ([1, "x"], ("proportions", 1), "should be a valid number, found 'x'"),
])  # fmt: skip
def test_proportions_are_one_positive_number_each(proportions, where, what):
    assert read_dataset({"combine": ["a", "b"], "proportions": [1, 0.5]}).proportions == (1, 0.5)
    assert mistakes_in({"combine": ["a", "b"], "proportions": proportions}) == [(where, what)]


def test_tasks_are_read_from_the_source():
    assert tasks_of(read_dataset({"source": "pydoc"})) == ("language_modeling", "classification")
    assert tasks_of(read_dataset({"source": "glue", "name": "rte"})) == ("classification",)
    assert tasks_of(read_dataset({"source": "glue", "name": "STS-B"})) == ("regression",)
