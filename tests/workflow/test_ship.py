"""Students that ship, in the workflow: int8, exports, scores and times of these, and a choice by size."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import verify
from tests.workflow.conftest import jobs, snakemake, write_config

pytestmark = pytest.mark.slow


@pytest.fixture
def shipping(config: dict[str, Any]) -> dict[str, Any]:
    """The pipeline with a student in int8, a student that learns with simulated int8, and exports."""
    student = config["models"]["student"]["distill"]
    models = {
        **config["models"],
        "student": {"distill": {**student, "export": ["onnx", "onnx_int8"]}},
        "int8": {"quantize": {"model": "student", "tolerance": 0.5, "export": ["onnx_int8"]}},
        "aware": {"distill": {**student, "quantize": {"per_channel": True}}},
        "shipped": {
            "select": {
                "among": ["teacher", "student", "int8", "aware"],
                "dataset": "task",
                "smallest": {"within": 1, "of": "teacher"},
            }
        },
        "fast": {
            "select": {
                "among": ["student"],
                "dataset": "task",
                "format": "onnx_int8",
                "fastest": {"within": 1, "of": "teacher", "batch": 2, "length": 8},
            }
        },
    }
    measure = {"models": ["student"], "latency": {"batch": [2], "length": [8]}}
    return {**config, "models": models, "measure": measure}


def run(folder: Path, config: dict[str, Any], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return snakemake(folder, "--configfile", write_config(folder / "config.yaml", config), *arguments)


def test_a_chain_from_a_teacher_to_what_ships(folder: Path, shipping: dict[str, Any]) -> None:
    done = run(folder, shipping)
    assert done.returncode == 0, done.stdout
    assert jobs(done.stdout).count("export") == 3
    results = folder / "results"
    for name in (
        "exports/student/onnx",
        "exports/student/onnx_int8",
        "exports/int8/onnx_int8",
        "models/aware",
    ):
        verify(results / name)
    table = pq.read_table(results / "report/results.parquet").to_pylist()
    scored = {(row["model"], row["format"]) for row in table if row["dataset"] == "task"}
    assert {pair for pair in scored if pair[1] != "torch"} == {
        ("student", "onnx"), ("student", "onnx_int8"), ("int8", "onnx_int8")
    }  # fmt: skip
    by_format = {(row["model"], row["format"]): row["value"] for row in table if row["metric"] == "accuracy"}
    assert by_format["student", "onnx"] == by_format["student", "torch"]
    assert read_manifest(results / "models/shipped")["chosen"] in ("int8", "aware")
    assert read_manifest(results / "models/fast")["chosen"] == "student"
    formats = {name.name for name in (results / "measurements").iterdir()}
    assert formats == {"student", "student+onnx", "student+onnx_int8"}
    assert "student+onnx_int8" in (results / "report/report.html").read_text(encoding="utf-8")
    card = (results / "exports/student/onnx_int8/README.md").read_text(encoding="utf-8")
    assert card == (results / "cards/student+onnx_int8.md").read_text(encoding="utf-8")
    assert 'InferenceSession("student/onnx_int8/model.onnx")' in card
    assert "exports/student/onnx" in (results / "models/student/README.md").read_text(encoding="utf-8")
    assert jobs(run(folder, shipping, "-n").stdout) == []

    # Another format makes nothing again but what tells of it; what is left of a format, `clean` may remove.
    shipping["models"]["student"]["distill"]["export"] = ["onnx_fp16", "onnx_int8"]
    assert jobs(run(folder, shipping, "-n").stdout) == ["card", "evaluate", "export", "measure", "report"]
    command = [sys.executable, "-m", "kdpipe.cli", "clean", "config.yaml"]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    for name in ("exports/student/onnx", "evaluations/student+onnx/task", "measurements/student+onnx"):
        assert f"results/{name}  (" in told


def test_nothing_that_fits_ends_the_job_and_says_how_far_the_nearest_is(
    folder: Path, config: dict[str, Any]
) -> None:
    choice = {"among": ["teacher", "student"], "dataset": "task", "best": {"at_most": {"megabytes": 0.001}}}
    config = {**config, "models": {**config["models"], "tiny": {"select": choice}}}
    done = run(folder, config)
    assert done.returncode == 1
    log = (folder / "results/logs/select/tiny.log").read_text(encoding="utf-8")
    assert "best: no candidate has at most 0.001 MB; the nearest is student with 0.0" in log
