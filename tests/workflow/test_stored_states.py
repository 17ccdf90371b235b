"""A part of a teacher's states in the workflow: what reruns, and a run from a folder of stored signals."""

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.conftest import jobs, snakemake, write_config

pytestmark = pytest.mark.slow
LOSSES = [{"loss": "hidden_mse", "layers": [[1, 0], [2, 1]]}]
LARGE = {"layers": 2, "tokens": 6, "hidden": 0.5}


@pytest.fixture
def taught(config: dict[str, Any]) -> dict[str, Any]:
    """The pipeline, with a student of a part of its teacher's states."""
    changed = deepcopy(config)
    changed["models"]["student"]["distill"] |= {"losses": LOSSES, "knowledge": LARGE}
    return changed


def run(folder: Path, config: dict[str, Any]) -> list[str]:
    done = snakemake(folder, "--configfile", write_config(folder / "config.yaml", config))
    assert done.returncode == 0, done.stdout
    return jobs(done.stdout)


def test_smaller_amounts_rerun_nothing_and_a_larger_one_all_readers(
    folder: Path, taught: dict[str, Any]
) -> None:
    assert run(folder, taught) == ["cache_teacher", "card", "distill", "evaluate", "report"]
    smaller, larger = deepcopy(taught), deepcopy(taught)
    student = taught["models"]["student"]["distill"]
    smaller["models"]["second"] = {"distill": {**student, "knowledge": {**LARGE, "hidden": 0.1}}}
    assert run(folder, smaller) == ["card", "distill", "evaluate", "report"]
    larger["models"]["second"] = {"distill": {**student, "knowledge": {**LARGE, "tokens": 9}}}
    assert run(folder, larger) == ["cache_teacher", "card", *["distill"] * 2, *["evaluate"] * 2, "report"]


def test_a_student_is_made_where_the_teacher_never_was(
    folder: Path, taught: dict[str, Any], tmp_path: Path
) -> None:
    run(folder, taught)
    results, elsewhere = folder / "results", tmp_path / "elsewhere"
    newest = max((results / "knowledge/teacher/task").iterdir(), key=lambda place: place.stat().st_mtime)
    shutil.copytree(newest, elsewhere / "stored")
    shutil.copytree(results / "models/small", elsewhere / "small")
    student = deepcopy(taught["models"]["student"]["distill"])
    del student["teacher"]
    alone = {
        **taught,
        "datasets": {"task": taught["datasets"]["task"]},
        "models": {
            "small": {"load": {"path": "small"}},
            "student": {"distill": {**student, "knowledge": {**LARGE, "from": "stored"}}},
        },
    }
    assert "cache_teacher" not in run(elsewhere, alone)
    models = [place / "results/models/student/model.safetensors" for place in (folder, elsewhere)]
    assert models[0].read_bytes() == models[1].read_bytes()
    file = elsewhere / "stored" / "knowledge.json"
    file.write_text(file.read_text() + " ")
    done = snakemake(elsewhere, "--configfile", "config.yaml", "--forcerun", "distill")
    assert done.returncode
    assert "copy the folder again" in done.stdout
