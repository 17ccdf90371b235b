"""Whatever lies among checkpoints, a stage goes on from the newest whole checkpoint, or starts anew."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kdpipe.artifacts.checkpoints import SECONDS, Checkpoints, Clock
from kdpipe.artifacts.sums import SUMS, write_sums
from tests.made import NO_SECONDS, PLACED


def write(folder: Path, step: int) -> Path:
    with Checkpoints(folder, clock=Clock(earlier=100.0)).write(step) as path:
        (path / "weights").write_text(str(step))
    return path


def test_the_newest_that_is_whole_counts_and_is_kept_alone(tmp_path: Path) -> None:
    write(tmp_path, 9)
    newest = write(tmp_path, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["step-10"]
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() == newest
    assert checkpoints.clock.earlier > 100
    (newest / "weights").write_text("11")
    assert Checkpoints(tmp_path).latest() is None


@pytest.mark.parametrize("place", [*PLACED, Path.touch])
@pytest.mark.parametrize("name", ["step-", "step-x", "step-11", "step-11.5", "other"])
def test_something_that_is_no_checkpoint(tmp_path: Path, name: str, place: Callable[[Path], None]) -> None:
    newest = write(tmp_path, 10)
    place(tmp_path / name)
    assert Checkpoints(tmp_path).latest() == newest
    later = write(tmp_path, 11)
    assert Checkpoints(tmp_path).latest() == later
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-11"]


@pytest.mark.parametrize("place", PLACED)
@pytest.mark.parametrize("name", ["weights", SUMS])
def test_a_checkpoint_in_which_something_is_no_file(
    tmp_path: Path, name: str, place: Callable[[Path], None]
) -> None:
    file = write(tmp_path, 10) / name
    file.unlink()
    place(file)
    assert Checkpoints(tmp_path).latest() is None
    newest = write(tmp_path, 10)
    assert Checkpoints(tmp_path).latest() == newest


@pytest.mark.parametrize("text", NO_SECONDS)
def test_a_checkpoint_that_does_not_say_its_seconds(tmp_path: Path, text: bytes) -> None:
    path = write(tmp_path, 10)
    (path / SECONDS).write_bytes(text)
    write_sums(path)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() == path
    assert checkpoints.clock.earlier == 0


@pytest.mark.parametrize("place", [Path.touch, os.mkfifo])
def test_what_is_no_folder_makes_room_for_one(tmp_path: Path, place: Callable[[Path], None]) -> None:
    folder = tmp_path / "kept"
    place(folder)
    assert Checkpoints(folder).latest() is None
    newest = write(folder, 10)
    assert Checkpoints(folder).latest() == newest
    Checkpoints(folder).clear()
    place(folder)
    Checkpoints(folder).clear()
    assert not folder.exists()
