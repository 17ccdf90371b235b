"""A student learns from a complete cache by hand, though its teacher's weights are gone."""

import json
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import SUMS, file_digest
from kdpipe.errors import EXIT_STATUS
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.stages import cache_teacher, extract
from tests.forked import be_stage
from tests.stages.conftest import job_for

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["kdpipe.stages.distill"])
LOGITS = [{"loss": "kl"}]
STATES = [*LOGITS, {"loss": "hidden_mse", "layers": [[4, 2]]}]
Distilled = Callable[..., tuple[int, str]]


@pytest.fixture
def distilled(classifier: Path, task_data: Path, tmp_path: Path) -> Distilled:
    """A function that runs `distill` by hand on some losses, and returns its status and what it says."""
    teacher, models = shutil.copytree(classifier, tmp_path / "models" / "teacher"), tmp_path / "models"
    extract.run(ExtractSettings(model="t", layers="first:2"), job_for(models / "student"), model=teacher)
    wanted = CacheTeacherSettings(signals=("logits", "hidden_states.4"), bf16=False)
    cache_teacher.run(wanted, job_for(tmp_path / "cache"), teacher=teacher, data=task_data)

    def run(losses: list[dict[str, Any]], cached: bool = True) -> tuple[int, str]:
        training = {"max_steps": 1, "bf16": False}
        given = {"teacher": "t", "student": "s", "dataset": "d", "losses": losses, "training": training}
        folders = {"teacher": teacher, "student": models / "student", "data": task_data}
        folders |= {"knowledge": tmp_path / "cache"} if cached else {}
        places = {**folders, "output": tmp_path / "made", "log": tmp_path / "log"}
        words = [
            "--settings",
            json.dumps(given),
            *(w for name, at in places.items() for w in (f"--{name}", at)),
        ]
        process = SERVER.Process(
            target=be_stage, args=("distill", [*map(str, words)], tmp_path / "console", Path.cwd())
        )
        process.start()
        process.join()
        return process.exitcode or 0, (tmp_path / "console").read_text()

    return run


@pytest.mark.parametrize(
    ("losses", "gone"),
    [
        (STATES, ["model.safetensors"]),
        (STATES, ["model.safetensors", SUMS]),
        (LOGITS, ["model.safetensors", "tokenizer.json", "tokenizer_config.json"]),
    ],
    ids=["weights", "weights and digests", "weights and tokenizer, which logits of texts do not need"],
)
def test_a_complete_cache_needs_no_weights(
    losses: list[dict[str, Any]], gone: list[str], distilled: Distilled, tmp_path: Path
) -> None:
    teacher = tmp_path / "models" / "teacher"
    digest = file_digest(teacher / SUMS)
    for name in gone:
        (teacher / name).unlink()
    assert distilled(losses) == (0, "")
    inputs = read_manifest(tmp_path / "made")["inputs"]
    assert inputs.get("models/teacher") == (None if SUMS in gone else digest)
    assert (tmp_path / "made" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("losses", "gone", "cached"),
    [
        (STATES, "config.json", True),
        (STATES, "tokenizer.json", True),
        (LOGITS, "model.safetensors", False),
    ],
)
def test_what_is_needed_and_missing_is_named(
    losses: list[dict[str, Any]], gone: str, cached: bool, distilled: Distilled, tmp_path: Path
) -> None:
    teacher = tmp_path / "models" / "teacher"
    (teacher / gone).unlink()
    status, words = distilled(losses, cached)
    assert (status, words) == (
        EXIT_STATUS,
        f"distill made: {teacher / gone} is missing; run its stage again\n",
    )


def test_what_is_left_of_a_teacher_must_be_as_it_was_written(distilled: Distilled, tmp_path: Path) -> None:
    teacher = tmp_path / "models" / "teacher"
    (teacher / "model.safetensors").unlink()
    (teacher / "config.json").write_text((teacher / "config.json").read_text() + " ")
    status, words = distilled(STATES)
    assert status == EXIT_STATUS
    assert f"{teacher / 'config.json'} is not what its stage wrote" in words
