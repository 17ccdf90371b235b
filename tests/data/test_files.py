"""Finding the files of splits."""

import pytest

from kdpipe.data.files import SplitFiles
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
