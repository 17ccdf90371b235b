"""Which files of a repository hold which split."""

import pytest

from kdpipe.data.hub import find_splits
from kdpipe.errors import DataError

SHARDS = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
GLUE = [
    "README.md",
    "cola/test-00000-of-00001.parquet",
    "mrpc/train-00000-of-00001.parquet",
    "mrpc/validation-00000-of-00001.parquet",
    "mnli/validation_matched-00000-of-00001.parquet",
]
CARD = {"configs": [
    {"config_name": "cola", "data_files": [{"split": "test", "path": "cola/test-*"}]},
    {"config_name": "mrpc", "data_files": [
        {"split": "train", "path": "mrpc/train-*"}, {"split": "validation", "path": ["mrpc/validation-*"]}
    ]},
]}  # fmt: skip


def config(data_files, **more):
    return {"configs": [{"config_name": "default", "data_files": data_files, **more}]}


def test_splits_of_the_configuration_that_the_readme_declares():
    assert find_splits(GLUE, CARD, "mrpc") == {"train": [GLUE[2]], "validation": [GLUE[3]]}
    assert find_splits(GLUE, CARD, "cola") == {"test": [GLUE[1]]}


@pytest.mark.parametrize(("name", "message"), [
    ("default", "there is no configuration 'default'; there is cola, mrpc; give one as `name`"),
    ("mprc", "there is no configuration 'mprc'; did you mean 'mrpc'"),
])  # fmt: skip
def test_a_configuration_that_there_is_not(name, message):
    with pytest.raises(DataError, match=message):
        find_splits(GLUE, CARD, name)


def test_the_default_configuration_is_the_only_one_or_that_called_so():
    (only,) = config("data/train-*")["configs"]
    assert find_splits(SHARDS, {"configs": [{**only, "config_name": "plain"}]}, "default") == {
        "train": SHARDS
    }
    other = {"config_name": "x", "data_files": "x/*"}
    called = {**only, "config_name": "plain", "default": True}
    assert find_splits(SHARDS, {"configs": [other, called]}, "default") == {"train": SHARDS}


@pytest.mark.parametrize("data_files", [
    "data/train-*", ["data/train-*"], {"train": "data/*.parquet"}, {"train": SHARDS}, "**/train-*",
    "./data/*", [{"split": "train", "path": "**/*.parquet"}],
])  # fmt: skip
def test_all_forms_of_data_files(data_files):
    assert find_splits([*SHARDS, "x.csv"], config(data_files), "default") == {"train": SHARDS}


def test_a_star_keeps_to_its_folder():
    names = ["a.parquet", "b/a.parquet"]
    assert find_splits(names, config("*.parquet"), "default") == {"train": ["a.parquet"]}


def test_a_folder_for_a_configuration():
    names = ["x/train.parquet", "y/train.parquet", "y/a/dev.parquet"]
    card = {"configs": [{"config_name": "y", "data_dir": "y"}]}
    assert find_splits(names, card, "y") == {"train": ["y/train.parquet"], "validation": ["y/a/dev.parquet"]}
    card = config("*.parquet", data_dir="x")
    assert find_splits(names, card, "default") == {"train": ["x/train.parquet"]}


@pytest.mark.parametrize(("name", "split"), [
    ("data/train-00000-of-00001.parquet", "train"),
    ("data/hard-cases-00000-of-00001-1a2b3c4d.parquet", "hard-cases"),
    ("validation_matched-00000-of-00001.parquet", "validation_matched"),
    ("dev.parquet", "validation"),
    ("my_test_file.parquet", "test"),
    ("Training/part.parquet", "train"),
    ("test/0000.parquet", "test"),
    ("everything.parquet", "train"),
])  # fmt: skip
def test_splits_by_the_names_of_files(name, split):
    assert find_splits([name], {}, "default") == {split: [name]}


def test_what_the_hub_has_converted():
    names = ["a/train/0000.parquet", "a/train/0001.parquet", "a/test/0000.parquet", "b/train/0000.parquet"]
    assert find_splits(names, {}, "a") == {"test": ["a/test/0000.parquet"], "train": names[:2]}
    assert find_splits(names[:2], {}, "default") == {"train": names[:2]}
    with pytest.raises(DataError, match="no configuration 'default'; there is a, b; give one"):
        find_splits(names, {}, "default")
    with pytest.raises(DataError, match="expected a whole dataset, found 'partial-train'"):
        find_splits(["default/partial-train/0000.parquet"], {}, "default")


def test_usual_names_unless_they_are_taken():
    assert find_splits(["dev.parquet"], config({"dev": "dev.parquet"}), "default").keys() == {"validation"}
    card = config({"dev": "a.parquet", "validation": "b.parquet"})
    assert find_splits(["a.parquet", "b.parquet"], card, "default").keys() == {"dev", "validation"}


def test_without_parquet_there_are_no_splits():
    assert find_splits(["train.csv", "load.py"], {}, "default") == {}
    assert find_splits(["train.csv"], config("train.csv"), "default") == {}


@pytest.mark.parametrize(
    "configs", [None, "x", [1], [{"data_files": "x"}], [{"config_name": "default", "data_files": 3}]]
)
def test_a_readme_that_makes_no_sense(configs):
    with pytest.raises(DataError, match="expected `configs` of the README to name data files by split"):
        find_splits(SHARDS, {"configs": configs}, "default")


def test_a_split_that_is_no_name():
    with pytest.raises(DataError, match=r"expected names of splits .*, found '\.\./train'"):
        find_splits(SHARDS, config({"../train": "data/*"}), "default")
