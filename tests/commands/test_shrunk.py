"""`kdpipe shrink` writes where there is nothing yet, or what it wrote itself, and nowhere else."""

import os
import re

import pytest

from kdpipe.commands.shrunk import LIST, rewritten
from kdpipe.errors import KdpipeError

FILES = ("config.yaml", "data/task/train.tsv", "models/base/model.safetensors")


def write(folder, text="small", files=FILES):
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def shrink_to(folder, text="small", files=FILES, read=(), error=None):
    with rewritten(folder, read):
        write(folder, text, files)
        if error:
            raise error


def texts(folder):
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != LIST)
    return {str(path.relative_to(folder)): path.read_text() for path in found}


@pytest.fixture
def folder(tmp_path):
    """A folder that was written once, where results have come to lie."""
    folder = tmp_path / "small"
    shrink_to(folder)
    write(folder, "a result", ["results/models/base/config.json", "notes.txt"])
    return folder


def test_what_was_written_is_written_anew(folder):
    shrink_to(folder, "smaller", FILES[:2])
    others = {"results/models/base/config.json": "a result", "notes.txt": "a result"}
    assert texts(folder) == {**dict.fromkeys(FILES[:2], "smaller"), **others}


def test_what_was_stopped_is_written_anew(folder):
    with pytest.raises(KeyboardInterrupt):
        shrink_to(folder, "half", FILES[1:2], error=KeyboardInterrupt())
    shrink_to(folder)
    assert texts(folder).items() >= dict.fromkeys(FILES, "small").items()


def change(folder):
    write(folder, "mine", FILES[:1])
    return FILES[0]


def add(folder):
    write(folder, "mine", ["models/base/more.txt"])
    return "models/base/more.txt"


def link_a_file(folder):
    (folder / FILES[1]).rename(folder / "notes.txt")
    (folder / FILES[1]).symlink_to(folder / "notes.txt")
    return FILES[1]


def link_a_folder(folder):
    (folder / "models").rename(folder / "mine")
    (folder / "models").symlink_to(folder / "mine")
    return "models"


def link_below(folder):
    (folder / "data/task").rename(folder / "mine")
    (folder / "data/task").symlink_to(folder / "mine")
    return "data/task"


def pipe(folder):
    os.mkfifo(folder / "data/pipe")
    return "data/pipe"


@pytest.mark.parametrize("disturb", [change, add, link_a_file, link_a_folder, link_below, pipe])
def test_anything_else_is_refused_and_stays(folder, disturb):
    name = disturb(folder)
    before = texts(folder)
    with pytest.raises(
        KdpipeError, match=f"{name} is not what an earlier `kdpipe shrink` wrote; move it away"
    ):
        shrink_to(folder)
    assert texts(folder) == before


@pytest.mark.parametrize("listed", [None, "{", "[]", "null", "[" * 10_000])
def test_a_folder_of_the_users_is_refused(tmp_path, listed):
    write(tmp_path, "mine", ["train.tsv"])
    if listed:
        (tmp_path / LIST).write_text(listed)
    with pytest.raises(
        KdpipeError, match="is not empty, and no earlier `kdpipe shrink` made it; give a folder"
    ):
        shrink_to(tmp_path)
    assert texts(tmp_path) == {"train.tsv": "mine"}


def test_the_config_that_is_read_is_refused(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    config = tmp_path / "link/config.yaml"
    with pytest.raises(
        KdpipeError, match=f"--output: .* contains {re.escape(str(config))}, which this command reads"
    ):
        shrink_to(folder, read=[config])
