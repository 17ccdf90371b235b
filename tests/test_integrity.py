"""Stages with damaged inputs, with a full or read-only disk, or with a loss that is NaN."""

import json
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import publish
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.faults import tell_fault
from kdpipe.artifacts.sums import SUMS, verify
from kdpipe.errors import EXIT_STATUS
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace
from kdpipe.stages import finetune
from tests.conftest import sentences
from tests.runner.test_workspace import count, run_stage

# Weights that are multiplied by -1e6 at every step.
DIVERGENT = {
    "learning_rate": 1000,
    "weight_decay": 1000,
    "max_grad_norm": 0,
    "per_device_train_batch_size": 4,
}
TRAINING = {"num_train_epochs": 1, "per_device_train_batch_size": 32, "bf16": False}
DISTILL = {"teacher": "t", "student": "s", "dataset": "d", "losses": [{"loss": "kl"}]}
# For each kind of artifact: a stage that reads it, its option, the other inputs, and the settings.
READERS: dict[str, tuple[str, str, list[str], dict[str, Any]]] = {
    "data": ("finetune", "data", ["model"], {"model": "m", "dataset": "d"}),
    "counts": ("finetune", "counts", ["model", "data"], {"model": "m", "dataset": "d"}),
    "importance": ("prune", "importance", ["model"], {"model": "m", "sparsity": 0.5}),
    "knowledge": ("distill", "knowledge", ["teacher", "student", "data"], DISTILL),
    "model": ("evaluate", "model", ["data"], {}),
    "evaluation": ("select", "evaluations", ["models", "data"], {"among": ["m"], "dataset": "d"}),
}


def harm(folder: Path, how: str) -> Path:
    """Damage an artifact, and return the file that the message has to name."""
    sums, content = folder / SUMS, folder / "content"
    if how == "removed":
        content.unlink()
    elif how == "list truncated":
        sums.write_bytes(sums.read_bytes()[:40])
        return sums
    else:
        content.write_bytes(b"written in pull" if how == "altered" else b"written in")
    return content


@pytest.mark.parametrize("how", ["truncated", "altered", "removed", "list truncated"])
@pytest.mark.parametrize("kind", READERS)
def test_a_harmed_artifact_is_named_by_the_stage_that_reads_it(
    kind: str,
    how: str,
    language_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stage, option, others, settings = READERS[kind]
    with publish(tmp_path / kind, tmp_path / ".state", {}, Clock()) as draft:
        (draft.folder / "content").write_text("written in full")
    file = harm(tmp_path / kind, how)
    words = ["--settings", json.dumps(settings), "--output", str(tmp_path / "made"), "--threads", "1"]
    words += [word for name in others for word in (f"--{name}", str(language_model))]
    monkeypatch.setattr(sys, "argv", [stage, *words, f"--{option}", str(tmp_path / kind)])
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")
    with pytest.raises(SystemExit) as ended:
        main(import_module(f"kdpipe.stages.{stage}").run)
    assert ended.value.code == EXIT_STATUS
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{stage} made: {file} is ")
    remedy = f"delete {file} and run its stage again" if file.exists() else "run its stage again"
    assert line.endswith(f"; {remedy}")
    assert not (tmp_path / "made").exists()


def test_a_full_disk_costs_nothing_that_is_there(
    task_data: Path, language_model: Path, small_disk: Path
) -> None:
    assert count(task_data, language_model, small_disk / "first").returncode == 0
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(200_000))
    done = count(task_data, language_model, small_disk / "next", "{}", "--log", small_disk / "log")
    assert done.returncode == EXIT_STATUS
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"count_tokens next: there is no room left on the disk of {small_disk / '.state'} ("
    )
    verify(small_disk / "first")
    assert not (small_disk / "next").exists()
    filler.unlink()
    assert count(task_data, language_model, small_disk / "next").returncode == 0
    assert (small_disk / "next" / SUMS).read_bytes() == (small_disk / "first" / SUMS).read_bytes()
    assert not list((small_disk / ".state/drafts").iterdir())


def test_a_stage_that_fills_its_disk_frees_it_and_says_so_in_its_log(
    language_model: Path, small_disk: Path, tmp_path: Path
) -> None:
    for name, count_of_rows in (("train", 3000), ("dev", 3)):
        rows = [f"{text}\t1" for text in sentences(count_of_rows, seed=1)]
        (tmp_path / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *rows[:-1], "bad\t0\n"]))
    source = {"source": "glue", "name": "SST-2", "path": str(tmp_path)}
    settings = {"sources": [source], "task": "classification", "max_length": 64}
    places = ["--tokenizer", language_model, "--output", small_disk / "data", "--log", small_disk / "log"]
    done = run_stage("preprocess", "--settings", json.dumps(settings), *places)
    assert done.returncode == EXIT_STATUS
    (line,) = done.stderr.splitlines()
    assert line.startswith("preprocess data: there is no room left on the disk of ")
    assert (small_disk / "log").read_text().endswith(f"{line}\n")
    assert not [path for path in small_disk.rglob("*") if path.suffix == ".part"]


@pytest.mark.parametrize("log", [False, True])
def test_on_a_read_only_disk_that_is_told(
    task_data: Path, language_model: Path, small_disk: Path, log: bool
) -> None:
    assert count(task_data, language_model, small_disk / "first").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    more = ["--log", small_disk / "logs" / "log"] if log else []
    done = count(task_data, language_model, small_disk / "next", "{}", *more)
    assert done.returncode == EXIT_STATUS
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"--log: {small_disk / 'logs'}" if log else f"count_tokens next: {small_disk}")
    assert "cannot be read or written (read-only file system, as user" in line
    verify(small_disk / "first")


def test_a_file_that_may_not_be_written_leaves_nothing(
    task_data: Path, language_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "kdpipe.stages.count_tokens", "--settings", "{}"]
    command += ["--data", str(task_data), "--tokenizer", str(language_model)]
    command += ["--output", str(tmp_path / "made")]
    limited = ["bash", "-c", f"ulimit -f 1; exec {shlex.join(command)}"]
    done = subprocess.run(limited, capture_output=True, text=True)
    assert done.returncode == EXIT_STATUS
    assert done.stderr.startswith(
        "count_tokens made: a file would be larger than a process may write (ulimit"
    )
    assert not (tmp_path / "made").exists()
    assert not list((tmp_path / ".state/drafts").iterdir())


def test_a_training_goes_on_when_there_is_room_again(
    task_data: Path, language_model: Path, small_disk: Path
) -> None:
    settings = FinetuneSettings(model="base", dataset="task", training=TRAINING)
    made = small_disk / "made"

    def train() -> None:
        workspace = Workspace(output=made, state=small_disk / ".state", checkpoint_minutes=0)
        finetune.run(settings, workspace, model=language_model, data=[task_data])

    with pytest.raises(Exception, match=r"No space left|unexpected pos") as caught:
        train()
    told = tell_fault(caught.value, small_disk / ".state")
    assert told is not None
    assert f"on the disk of {small_disk / '.state'} (" in told
    # No half-written file fills the disk.
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    train()
    verify(made)


@pytest.mark.slow
def test_a_loss_that_is_not_a_number_publishes_nothing(
    task_data: Path, language_model: Path, tmp_path: Path
) -> None:
    wrong = {**TRAINING, **DIVERGENT}
    settings = {"model": "base", "dataset": "task", "training": wrong}
    places = ["--model", language_model, "--data", task_data, "--output", tmp_path / "made"]
    log = ["--log", tmp_path / "log"]
    done = run_stage("finetune", "--settings", json.dumps(settings), *places, *log)
    assert done.returncode == EXIT_STATUS
    (line,) = done.stderr.splitlines()
    assert line.startswith("finetune made: the loss is ")
    assert line.endswith("lower the learning rate or set max_grad_norm")
    assert (tmp_path / "log").read_text().endswith(f"{line}\n")
    assert not (tmp_path / "made").exists()
    assert not list((tmp_path / ".state/drafts").iterdir())
