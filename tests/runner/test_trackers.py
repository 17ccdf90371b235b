"""What a tracker is told: each name once at a step, whatever a training repeats after a stop."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdpipe import catalog
from kdpipe.catalog import TRACKERS as NAMES
from kdpipe.errors import TrainingError
from kdpipe.runner import trackers
from kdpipe.runner.trackers import Told, Tracked, Tracker, tracked
from tests.made import PLACED


class Notes(Tracker):
    """Keeps what it is told in a file, a line for each number."""

    def begin(self, known: str, step: int) -> str:
        self.note(f"begin {known or self.name}")
        return f"{self.name}!"

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.note(f"{step} {name} {value:g}")

    def end(self) -> None:
        self.note("end")

    def note(self, line: str) -> None:
        with (self.folder / "notes").open("a") as file:
            file.write(f"{line}\n")


def state(step: int, first: bool = True) -> Any:
    return SimpleNamespace(global_step=step, is_world_process_zero=first)


def train(folder: Path, first: int, last: int, ends: bool = True) -> list[str]:
    """Log steps as a training does that goes on after a step; return what the tracker was told."""
    callback = Tracked("tensorboard", folder)
    callback.on_train_begin(None, state(first), None)
    for step in range(first + 1, last + 1):
        callback.on_log(None, state(step), None, logs={"loss": 1 / step})
        if step % 2 == 0:
            callback.on_log(None, state(step), None, logs={"eval_f1": step})
    if ends:
        callback.on_train_end(None, state(last), None)
    return (folder / "notes").read_text().splitlines()


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a tracker that keeps notes, which stands for TensorBoard."""
    monkeypatch.setattr(catalog, "resolve", lambda kind, name: Notes)
    return tmp_path / "runs" / "student" / "3f2a"


def test_a_training_that_goes_on_tells_what_is_new(notes: Path) -> None:
    whole = [
        "1 train/loss 1",
        "2 train/loss 0.5",
        "2 eval/f1 2",
        "3 train/loss 0.333333",
        "4 train/loss 0.25",
    ]
    killed = train(notes, 0, 3, ends=False)
    assert killed == ["begin student-3f2a", *whole[:4]]
    told = train(notes, 1, 4)[len(killed) :]
    assert told == ["begin student-3f2a!", *whole[4:], "4 eval/f1 4", "end"]


def test_a_training_that_was_killed_between_two_logs_of_a_step_tells_the_second(notes: Path) -> None:
    callback = Tracked("tensorboard", notes)
    callback.on_train_begin(None, state(0), None)
    for step in (1, 2):
        callback.on_log(None, state(step), None, logs={"loss": 1 / step})
    assert train(notes, 0, 2)[3:] == ["begin student-3f2a!", "2 eval/f1 2", "end"]


def test_other_processes_tell_nothing(notes: Path) -> None:
    callback = Tracked("tensorboard", notes)
    for event in (callback.on_train_begin, callback.on_log, callback.on_train_end):
        event(None, state(1, first=False), None)
    assert not notes.exists()


def test_without_a_tracker_nothing_is_told() -> None:
    for settings in (SimpleNamespace(), SimpleNamespace(report_to="none")):
        assert tracked(settings, Path("runs")) == []


def test_a_tracker_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    what = r"report_to: the package 'wandb' is not installed; install `kdpipe\[wandb\]`"
    with pytest.raises(TrainingError, match=what):
        tracked(SimpleNamespace(report_to="wandb"), Path("runs"))


@pytest.mark.parametrize("name", NAMES)
def test_files_lie_in_the_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "student" / "3f2a"
    callback = Tracked(name, folder)
    callback.on_train_begin(None, state(0), None)
    callback.on_log(None, state(1), None, logs={"loss": 1.0, "f1:PER (mean)": 0.5})
    callback.on_train_end(None, state(1), None)
    assert len([path for path in folder.rglob("*") if path.is_file()]) > 1
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


class Failing(Notes):
    """Fails at the second step."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        if step == 2:
            raise OSError("the server is away")
        super().log(values, step)


def test_a_tracker_that_fails_does_not_end_the_training(
    notes: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(catalog, "resolve", lambda kind, name: Failing)
    assert train(notes, 0, 4) == ["begin student-3f2a", "1 train/loss 1"]
    assert "told no more, as it failed at step 2: OSError: the server is away" in caplog.text


class Closed(Notes):
    def begin(self, known: str, step: int) -> str:
        raise ConnectionError("no server")


def test_a_tracker_that_does_not_begin_is_told(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "resolve", lambda kind, name: Closed)
    with pytest.raises(TrainingError, match="tensorboard does not begin: ConnectionError: no server"):
        train(notes, 0, 1)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"step": "3"}', '{"step": 2, "names": 3}'])
def test_a_damaged_note_begins_another_run(notes: Path, text: str) -> None:
    notes.mkdir(parents=True)
    (notes / "tensorboard.json").write_text(text)
    assert train(notes, 0, 1) == ["begin student-3f2a", "1 train/loss 1", "end"]
    assert Told.model_validate_json((notes / "tensorboard.json").read_bytes()).step == 1


@pytest.mark.parametrize("place", PLACED)
def test_what_is_no_note_begins_another_run(notes: Path, place: Callable[[Path], None]) -> None:
    notes.mkdir(parents=True)
    place(notes / "tensorboard.json")
    assert train(notes, 0, 1) == ["begin student-3f2a", "1 train/loss 1", "end"]
