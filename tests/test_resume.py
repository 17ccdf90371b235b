"""Stages that are killed, stopped, or started twice at once."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import SUMS, verify, write_sums
from kdpipe.errors import STOPPED_STATUS
from kdpipe.evaluation.scoring import head_of
from kdpipe.models.loading import load_tokenizer, load_with_head, save_model
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.finetune import FinetuneSettings
from tests.models.conftest import scattered

pytestmark = pytest.mark.slow
TRAINING = {"num_train_epochs": 100, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "bf16": False}
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(language_model: Path, task_data: Path, tmp_path: Path) -> Start:
    """A function that starts a fine-tuning, and returns its process."""

    def begin(name: str, *more: str, **training: Any) -> "subprocess.Popen[bytes]":
        given = {**TRAINING, **training}
        settings = FinetuneSettings(model="base", dataset="task", training=given).model_dump_json()
        command = [sys.executable, "-m", "kdpipe.stages.finetune", "--settings", settings]
        command += ["--model", str(language_model), "--data", str(task_data), "--threads", "1", *more]
        command += ["--output", str(tmp_path / name), "--state", str(tmp_path / ".state")]
        return subprocess.Popen([*command, "--log", str(tmp_path / f"{name}.log")], stderr=subprocess.DEVNULL)

    return begin


def wait_until(true: Callable[[], Any], process: "subprocess.Popen[bytes]") -> None:
    while not true():
        assert process.poll() is None
        time.sleep(0.02)


def test_killed_and_stopped_it_ends_with_the_same_bytes(start: Start, tmp_path: Path) -> None:
    def checkpoints(but: frozenset[Path] = frozenset()) -> frozenset[Path]:
        return frozenset(tmp_path.glob(f".state/checkpoints/*/*/step-*/{SUMS}")) - but

    assert start("undisturbed").wait() == 0
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        before = checkpoints()
        process = start("model", "--checkpoint-minutes", "0")
        wait_until(partial(checkpoints, before), process)
        process.send_signal(number)
        assert process.wait() == (-number if number == signal.SIGKILL else STOPPED_STATUS)
        assert not (tmp_path / "model").exists()
    assert start("model").wait() == 0
    log = (tmp_path / "model.log").read_text()
    assert "going on from" in log
    assert "Loading weights" not in log
    assert "sharded" not in log
    assert (tmp_path / "model" / SUMS).read_bytes() == (tmp_path / "undisturbed" / SUMS).read_bytes()
    assert not list(tmp_path.glob(".state/checkpoints/*/*"))
    seen = [read_manifest(tmp_path / name)["examples_seen"] for name in ("model", "undisturbed")]
    assert seen[0] == seen[1]


STATES = {"loss": "hidden_mse", "layers": "spaced", "projection": {"kind": "linear"}}
TWO_TEACHERS = {
    "teacher": ["a", "b"],
    "dataset": "d",
    "losses": [{"loss": "kl"}, {**STATES, "teacher": "b"}],
}
TWO_TASKS = {
    "teacher": {"d": "a", "e": "b"},
    "dataset": ["d", "e"],
    "sampling": {"exponent": 0.5},
    "losses": [{"loss": "kl"}, STATES],
}


SWAPPED = {
    "teacher": ["a", "b"],
    "dataset": "d",
    "interchange": {"alignment": "full", "sources": "epoch", "positions": "scattered"},
    "losses": [{"loss": "kl"}, {"loss": "kl", "run": "counterfactual"}],
}


@pytest.mark.parametrize(
    "given", [TWO_TEACHERS, TWO_TASKS, SWAPPED], ids=["two teachers", "two tasks", "counterfactual runs"]
)
def test_a_student_of_two_teachers_ends_with_the_same_bytes(
    given: dict[str, Any],
    classifier: Path,
    language_model: Path,
    task_data: Path,
    number_data: Path,
    tmp_path: Path,
) -> None:
    other, data = shutil.copytree(classifier, tmp_path / "other"), [task_data, number_data]
    data = data if len(given["dataset"]) > 1 else data[:1]
    save_model(scattered(load_with_head(other, head_of(data[-1]), 1)), load_tokenizer(other), other)
    write_sums(other)
    given, training = {**given, "student": "s"}, {**TRAINING, "num_train_epochs": 20}
    settings = DistillSettings.model_validate({**given, "training": training}).model_dump_json()

    def begin(name: str, *more: str) -> "subprocess.Popen[bytes]":
        command = [
            sys.executable,
            "-m",
            "kdpipe.stages.distill",
            "--settings",
            settings,
            "--threads",
            "1",
            *more,
        ]
        command += ["--teacher", str(classifier), str(other), "--student", str(language_model)]
        command += ["--data", *map(str, data), "--output", str(tmp_path / name)]
        return subprocess.Popen([*command, "--log", str(tmp_path / f"{name}.log")], stderr=subprocess.DEVNULL)

    assert begin("undisturbed").wait() == 0
    process = begin("model", "--checkpoint-minutes", "0")
    wait_until(lambda: list(tmp_path.glob(f".state/checkpoints/*/*/step-*/{SUMS}")), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert begin("model").wait() == 0
    assert "going on from" in (tmp_path / "model.log").read_text()
    assert (tmp_path / "model" / SUMS).read_bytes() == (tmp_path / "undisturbed" / SUMS).read_bytes()


def test_a_tracker_is_told_each_step_once(start: Start, tmp_path: Path) -> None:
    def checkpoints(but: frozenset[Path] = frozenset()) -> frozenset[Path]:
        return frozenset(tmp_path.glob(f".state/checkpoints/*/*/step-*/{SUMS}")) - but

    def told(name: str) -> list[tuple[int, float]]:
        (run,) = (tmp_path / "runs" / name).iterdir()
        events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
        return [(event.step, event.value) for event in events.Scalars("train/loss")]

    tracked = {"report_to": "tensorboard", "logging_steps": 1, "num_train_epochs": 25}
    assert start("undisturbed", **tracked).wait() == 0
    for number in (signal.SIGKILL, signal.SIGTERM):
        before = checkpoints()
        process = start("model", "--checkpoint-minutes", "0", **tracked)
        wait_until(partial(checkpoints, before), process)
        process.send_signal(number)
        process.wait()
    assert start("model", **tracked).wait() == 0
    assert [step for step, _ in told("undisturbed")] == list(range(1, 301))
    assert told("model") == told("undisturbed")
    assert (tmp_path / "model" / SUMS).read_bytes() == (tmp_path / "undisturbed" / SUMS).read_bytes()


def test_a_stage_waits_for_an_earlier_process_that_makes_the_same(start: Start, tmp_path: Path) -> None:
    first = start("model")
    lock = tmp_path / ".state/locks" / "model"
    log = tmp_path / "model.log"
    wait_until(lambda: lock.exists() and lock.read_text(), first)
    first.send_signal(signal.SIGSTOP)
    second = start("model")
    wait_until(lambda: f"waiting for process {first.pid} on {os.uname().nodename}" in log.read_text(), second)
    first.send_signal(signal.SIGCONT)
    assert (first.wait(), second.wait()) == (0, 0)
    assert "another process has already made the artifact" in log.read_text()
    verify(tmp_path / "model")
