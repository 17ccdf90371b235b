"""Stages in two processes, from the command line."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import SUMS, read_sums, verify, write_sums
from kdpipe.errors import EXIT_STATUS, STOPPED_STATUS
from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.preprocess import PreprocessSettings
from kdpipe.plan.stages.pretrain import PretrainSettings
from kdpipe.plan.stages.schedule import ScheduleSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.launch import Team
from kdpipe.stages import evaluate, finetune, pretrain, schedule
from tests import tolerance
from tests.conftest import ARCHITECTURE
from tests.stages.conftest import job_for, scored

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
# Adam would make whole steps of a gradient that is nothing but rounding.
TRAINING = {
    "optim": "sgd",
    "learning_rate": 0.1,
    "num_train_epochs": 20,
    "per_device_train_batch_size": 19,
    "bf16": False,
}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
# Code that the second process runs before its n-th batch.
FAILING = """
import os
if os.environ.get("RANK") == "1":
    # As in any process of a stage, this import comes first.
    import kdpipe.stages
    from kdpipe.data.batches import Collator
    from kdpipe.errors import DataError
    whole, made = Collator.__call__, []
    def fail(self, examples):
        made.append(examples)
        if len(made) == 4:
            {act}
        return whole(self, examples)
    Collator.__call__ = fail
"""
Start = Callable[..., "tuple[subprocess.Popen[str], Path]"]
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "kdpipe.stages.finetune")


def launch(
    stage: str, *arguments: object, by: tuple[str, ...] = (), **environment: str
) -> "subprocess.Popen[str]":
    """Start a stage in two processes."""
    command = [sys.executable, "-m", *(by or ("kdpipe.runner.launch", "2", stage)), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def base(language_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model without dropout."""
    folder, model = tmp_path_factory.mktemp("base"), load_model(language_model)
    vars(model.config).update(NO_DROPOUT)
    save_model(model, load_tokenizer(language_model), folder)
    write_sums(folder)
    return folder


@pytest.fixture(scope="module")
def start(base: Path, task_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """A function that starts a fine-tuning in two processes, and returns its process and folder."""
    folder = tmp_path_factory.mktemp("models")

    def begin(
        name: str, act: str = "", *more: object, by: tuple[str, ...] = ()
    ) -> "tuple[subprocess.Popen[str], Path]":
        (folder / "sitecustomize.py").write_text(FAILING.format(act=act or "pass"))
        settings = FinetuneSettings(model="base", dataset="task", training=TRAINING).model_dump_json()
        places = ("--model", base, "--data", task_data, "--output", folder / name, "--threads", 2)
        # torchrun has an option --log of its own.
        log = () if by else ("--log", folder / f"{name}.log")
        told = ("--settings", settings, *places, *log, *more)
        return launch("finetune", *told, by=by, PYTHONPATH=f"{folder}:{ROOT}"), folder / name

    return begin


@pytest.fixture(scope="module")
def two(start: Start) -> Path:
    """The folder of a model that two processes have fine-tuned."""
    process, folder = start("two")
    assert finish(process) == (0, "")
    return folder


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Return the exit status of a stage, and its lines on the terminal."""
    _, said = process.communicate(timeout=300)
    return process.returncode, said


def assert_close(found: Path, expected: Path) -> None:
    weights, same = (load_file(folder / "model.safetensors") for folder in (found, expected))
    assert weights.keys() == same.keys()
    tolerance.assert_close(*(torch.cat([own[name].flatten() for name in same]) for own in (weights, same)))
    rows, expected_rows = (
        pq.read_table(folder / "history.parquet").to_pylist() for folder in (found, expected)
    )
    for row, same_row in zip(rows, expected_rows, strict=True):
        assert row == {**same_row, "value": pytest.approx(same_row["value"], rel=tolerance.rounding())}


def test_a_model_is_fine_tuned_as_in_one_process(
    two: Path, base: Path, task_data: Path, tmp_path: Path
) -> None:
    settings = FinetuneSettings(model="base", dataset="task", training=TRAINING)
    finetune.run(settings, job_for(tmp_path / "one"), model=base, data=[task_data])
    verify(two)
    assert_close(two, tmp_path / "one")
    one = read_manifest(tmp_path / "one")
    assert read_manifest(two).items() >= {"processes": 2, "examples_seen": one["examples_seen"]}.items()
    assert one["processes"] == 1
    assert not list(two.parent.glob(".state/drafts/*"))


def test_torchrun_starts_them_too(start: Start, two: Path) -> None:
    process, folder = start("by_torchrun", by=TORCHRUN)
    status, said = finish(process)
    assert status == 0, said
    assert (folder / SUMS).read_bytes() == (two / SUMS).read_bytes()


def test_a_model_is_pretrained_as_in_one_process(text_files: Path, tmp_path: Path) -> None:
    source = {"source": "text", "path": str(text_files)}
    dataset = PreprocessSettings(sources=(source,), task="language_modeling", max_length=32)
    architecture = {"family": "bert", **ARCHITECTURE, **NO_DROPOUT}
    given = {
        "dataset": "text",
        "architecture": architecture,
        "vocab_size": 70,
        "training": {**TRAINING, "num_train_epochs": 1},
    }
    settings = PretrainSettings.model_validate(given)
    told = ("--settings", settings.model_dump_json(), "--dataset", dataset.model_dump_json())
    process = launch(
        "pretrain", *told, "--output", tmp_path / "two", "--threads", 2, "--log", tmp_path / "log"
    )
    assert finish(process) == (0, "")
    pretrain.run(settings, dataset, job_for(tmp_path / "one"))
    assert_close(tmp_path / "two", tmp_path / "one")
    sums = [read_sums(tmp_path / name) for name in ("one", "two")]
    assert sums[0]["tokenizer.json"] == sums[1]["tokenizer.json"]


def test_an_assistant_is_chosen_as_in_one_process(two: Path, task_data: Path, tmp_path: Path) -> None:
    scores = scored(two, task_data)
    training = {**TRAINING, "num_train_epochs": 2}
    settings = ScheduleSettings.model_validate(
        {"teacher": "two", "dataset": "task", "target": 0.75, "sparsities": [0.25, 0.5], "training": training}
    )
    places = ("--teacher", two, "--data", task_data, "--importance", scores, "--output", tmp_path / "two")
    told = ("--settings", settings.model_dump_json(), "--log", tmp_path / "log", "--threads", 2)
    assert finish(launch("schedule", *told, *places)) == (0, "")
    schedule.run(settings, job_for(tmp_path / "one"), teacher=two, data=task_data, importance=[scores])
    assert_close(tmp_path / "two", tmp_path / "one")
    rows = [read_parquet(tmp_path / name / "candidates.parquet") for name in ("one", "two")]
    assert [row["chosen"] for row in rows[0]] == [row["chosen"] for row in rows[1]]


def test_the_last_word_is_that_of_the_process_which_failed(start: Start) -> None:
    process, folder = start("mistaken", "raise DataError('row 7 is broken')")
    status, said = finish(process)
    assert (status, said) == (EXIT_STATUS, "finetune mistaken: row 7 is broken\n")
    assert folder.with_suffix(".log").read_text().endswith(said)
    assert not folder.exists()


def test_killed_and_stopped_they_go_on_to_the_same_bytes(start: Start, two: Path) -> None:
    process, folder = start("again", "os.kill(os.getpid(), 9)", "--checkpoint-minutes", 0)
    assert finish(process) == (1, "finetune again: process 2 of 2 was ended by SIGKILL\n")
    process, _ = start("again")
    log = folder.with_suffix(".log")
    log.unlink()
    while "INFO step" not in (log.read_text() if log.exists() else ""):
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    status, said = finish(process)
    assert status == STOPPED_STATUS
    assert said.startswith("finetune again: stopped by SIGTERM after step ")
    assert "going on from" in log.read_text()
    process, _ = start("again")
    assert finish(process) == (0, "")
    assert (folder / SUMS).read_bytes() == (two / SUMS).read_bytes()


@pytest.mark.parametrize(
    ("stage", "world", "word"),
    [
        (finetune, {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}, "expected all processes on one machine"),
        (evaluate, {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, "evaluate runs in one process"),
        (
            finetune,
            {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"},
            "expected one task of SLURM, found 2",
        ),
    ],
)
def test_what_is_not_proven_in_several_processes_is_refused(
    base: Path,
    task_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: Any,
    world: dict[str, str],
    word: str,
) -> None:
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("kdpipe.runner.command_line.TEAM", Team())
    given = json.dumps({"model": "base", "dataset": "task"} if stage is finetune else {})
    places = ["--model", str(base), "--data", str(task_data), "--output", str(tmp_path / "made")]
    monkeypatch.setattr(sys, "argv", ["", "--settings", given, *places, "--threads", "1"])
    with pytest.raises(SystemExit) as ended:
        main(stage.run, several=stage is finetune)
    assert ended.value.code == EXIT_STATUS
    said = capsys.readouterr().err
    assert said.startswith(f"{stage.__name__.split('.')[-1]} made: {word}")
    assert said.count("\n") == 1


def test_a_second_task_of_slurm_leads_nobody(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "1")
    process, folder = start("second")
    status, said = finish(process)
    assert status == EXIT_STATUS
    assert said.startswith("finetune second: expected one task of SLURM, found 2")
    assert not folder.exists()
