"""A long stage takes its whole tables from an earlier run, and makes damaged tables again."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from kdpipe.artifacts.checkpoints import SECONDS, Clock
from kdpipe.artifacts.shards import Shards
from tests.made import NO_SECONDS, PLACED

TABLE = pa.table({"id": ["a", "b"], "length": [3, 4]})


def refuse() -> pa.Table:
    raise AssertionError("made again")


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def alter(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"ab", b"az"))


def test_a_table_is_made_once(tmp_path: Path) -> None:
    assert Shards(tmp_path, Clock()).table("train-0", lambda: TABLE) == TABLE
    assert Shards(tmp_path, Clock()).table("train-0", refuse) == TABLE
    with pytest.raises(AssertionError, match="made again"):
        Shards(tmp_path, Clock()).table("train", refuse)


@pytest.mark.parametrize("harm", [cut_off, alter, lambda file: os.truncate(file, 0)])
def test_what_is_not_whole_is_made_again(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    Shards(tmp_path, Clock()).table("train-0", lambda: TABLE)
    (file,) = tmp_path.glob("*.arrow")
    harm(file)
    assert Shards(tmp_path, Clock()).table("train-0", lambda: TABLE) == TABLE
    assert Shards(tmp_path, Clock()).table("train-0", refuse) == TABLE
    assert len(list(tmp_path.glob("*.arrow"))) == 1


@pytest.mark.parametrize("text", NO_SECONDS)
def test_a_time_that_is_not_whole_does_not_count(tmp_path: Path, text: bytes) -> None:
    Shards(tmp_path, Clock(started=0.0)).table("train-0", lambda: TABLE)
    (tmp_path / SECONDS).write_bytes(text)
    clock = Clock()
    assert Shards(tmp_path, clock).table("train-0", refuse) == TABLE
    assert clock.earlier == 0


@pytest.mark.parametrize("place", PLACED)
@pytest.mark.parametrize("name", [SECONDS, "seconds.part", "train-0.part", "train-0.0b7e.arrow"])
def test_what_is_no_file_is_made_again(tmp_path: Path, name: str, place: Callable[[Path], None]) -> None:
    place(tmp_path / name)
    assert Shards(tmp_path, Clock()).table("train-0", lambda: TABLE) == TABLE
    assert Shards(tmp_path, Clock()).table("train-0", refuse) == TABLE


@pytest.mark.parametrize("place", [Path.touch, os.mkfifo])
def test_what_is_no_folder_makes_room_for_one(tmp_path: Path, place: Callable[[Path], None]) -> None:
    place(tmp_path / "kept")
    assert Shards(tmp_path / "kept", Clock()).table("train-0", lambda: TABLE) == TABLE
    assert Shards(tmp_path / "kept", Clock()).table("train-0", refuse) == TABLE
