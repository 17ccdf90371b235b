"""What a run tells of the jobs that are at work, and how long the rest may take."""

import io
import json
import os
import time
from pathlib import Path

import pytest

from kdpipe.commands.live import Live
from kdpipe.commands.work import Work, progress_line
from kdpipe.durations import duration
from kdpipe.runner.progress import VARIABLE, FileBar, progress_bar, progress_file


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [1000.0]
    monkeypatch.setattr("kdpipe.commands.work.time.time", lambda: now[0])
    return now


def test_jobs_at_work_and_the_rest_are_told(clock: list[float], tmp_path: Path) -> None:
    jobs = Work(tmp_path / ".state")
    jobs.expect({"distill": 3, "evaluate": 2})
    assert jobs.lines() == []
    jobs.begin(1, "distill", "distill one", tmp_path / "models/one")
    clock[0] += 40
    assert jobs.lines()[-1] == "0 of 5 done, 1 at work"
    assert jobs.end(1) == 40
    jobs.begin(2, "evaluate", "evaluate one task", tmp_path / "evaluations/one/task")
    # Nobody knows yet how long an evaluation takes: as long as the jobs so far.
    assert jobs.lines()[-1] == f"1 of 5 done, 1 at work; about {duration(4 * 40)} left"
    clock[0] += 6
    jobs.end(2)
    jobs.begin(3, "distill", "distill two", tmp_path / "models/two")
    jobs.begin(4, "evaluate", "evaluate two task", tmp_path / "evaluations/two/task")
    clock[0] += 4
    first, second, every = jobs.lines()
    assert first.split() == ["distill", "two", "4", "s"]
    assert second.split() == ["evaluate", "two", "task", "4", "s"]
    # Two distillations and an evaluation, less four seconds of both jobs.
    assert every == f"2 of 5 done, 2 at work; about {duration((2 * 40 + 6 - 2 * 4) // 2)} left"
    jobs.begin(5, "distill", "distill three", tmp_path / "models/three", local=False)
    assert jobs.lines()[-1] == "2 of 5 done, 3 at work"


def test_a_job_that_fails_and_begins_again_counts_once(clock: list[float], tmp_path: Path) -> None:
    jobs = Work(tmp_path)
    jobs.expect({"distill": 2})
    for _ in range(3):
        jobs.begin(1, "distill", "distill one", None)
        clock[0] += 5
        jobs.stop(1)
    jobs.begin(1, "distill", "distill one", None)
    assert jobs.lines() == ["  distill one  0 s", "0 of 2 done, 1 at work"]
    clock[0] += 10
    jobs.end(1)
    jobs.begin(2, "distill", "distill two", None)
    assert jobs.lines()[-1] == "1 of 2 done, 1 at work; about 10 s left"


def test_the_progress_of_a_job_is_read_from_its_file(clock: list[float], tmp_path: Path) -> None:
    state, folder = tmp_path / ".state", tmp_path / "models/one"
    jobs = Work(state)
    jobs.expect({"distill": 1})
    jobs.begin(1, "distill", "distill one", folder)
    file = progress_file(folder, state)
    file.parent.mkdir(parents=True)
    told = {"n": 25, "total": 100, "initial": 0, "elapsed": 5.0, "unit": "step"}
    file.write_text(json.dumps(told))
    job, every = jobs.lines()
    assert job.endswith("0 s   25%  15 s left, 25 of 100 steps, 5 steps/s  [####............]")
    assert every == "0 of 1 done, 1 at work; about 15 s left"
    for text in ("{", "{}", "null"):
        file.write_text(text)
        assert jobs.lines()[0].endswith("0 s")
    # A stage that was killed before has left it.
    file.write_text(json.dumps(told))
    os.utime(file, (0, 0))
    assert jobs.lines()[0].endswith("0 s")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"n": 0, "total": 9}, ""),
        ({"n": 30, "total": None}, "30 examples, 3 examples/s"),
        ({"n": 12, "total": 10}, "100%  0 s left, 12 of 10 examples, 1.2 examples/s  [################]"),
        ({"n": 2000, "total": None}, "2000 examples, 200 examples/s"),
        # A training that goes on after 900 steps.
        ({"n": 900, "total": 1000, "initial": 900}, ""),
        (
            {"n": 910, "total": 1000, "initial": 900},
            " 91%  1 min 30 s left, 910 of 1000 examples, 1 examples/s  [###############.]",
        ),
    ],
)
def test_a_line_of_progress(told: dict[str, int | None], expected: str) -> None:
    assert progress_line({"initial": 0, "elapsed": 10.0, "unit": "example", **told}) == expected


def test_a_bar_tells_a_file_and_removes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    folder, state = tmp_path / "models/one", tmp_path / ".state"
    with progress_bar(folder, state, io.StringIO(), None, "distill", "step") as bar:
        assert isinstance(bar, FileBar)
        bar.reset(total=10)
        bar.mininterval = 0
        bar.update(4)
        bar.refresh()
        told = json.loads(progress_file(folder, state).read_text())
        assert (told["n"], told["total"], told["unit"]) == (4, 10, "step")
    assert not progress_file(folder, state).parent.exists()


def test_lines_below_give_way_to_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdpipe.commands.live.INTERVAL", 1000.0)
    screen, lines = io.StringIO(), ["one", "two"]
    live = Live(screen, lambda: lines)
    live.say("first")
    live.say("second")
    lines.clear()
    live.close()
    up = "\x1b[2F\x1b[J"
    assert screen.getvalue() == f"first\none\ntwo\n{up}second\none\ntwo\n{up}"


def test_lines_are_drawn_again_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdpipe.commands.live.INTERVAL", 0.01)
    screen = io.StringIO()
    live = Live(screen, lambda: ["at work"])
    deadline = time.monotonic() + 10
    while screen.getvalue().count("at work") < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    live.close()
    assert screen.getvalue().count("at work") >= 3
