"""A student of two teachers in the workflow: each is cached by itself, and only what changed runs again."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import SUMS
from tests.workflow.conftest import jobs, snakemake, write_config

pytestmark = pytest.mark.slow
LOSSES = [{"loss": "kl"}, {"loss": "hidden_mse", "layers": "spaced", "teacher": "other"}]


def test_it_runs_to_its_report_and_again_what_has_changed(config: dict[str, Any], tmp_path: Path) -> None:
    config = deepcopy(config)
    models, file = config["models"], tmp_path / "config.yaml"
    models["other"] = {"finetune": {"model": "base", "dataset": "task", "seed": 2}}
    models["student"]["distill"] |= {"teacher": ["teacher", "other"], "losses": LOSSES}
    run = snakemake(tmp_path, "--configfile", write_config(file, config))
    assert run.returncode == 0, run.stdout
    assert jobs(run.stdout).count("cache_teacher") == 2
    student = tmp_path / config["results"] / "models/student"
    read = read_manifest(student)["inputs"]
    assert {name.split("/")[1] for name in read if name.startswith("knowledge/")} == {"teacher", "other"}
    before = (student / SUMS).read_bytes()

    models["student"]["distill"]["ensemble"] = {"average": "probabilities", "weights": [3, 1]}
    run = snakemake(tmp_path, "--configfile", write_config(file, config))
    assert run.returncode == 0, run.stdout
    assert jobs(run.stdout) == ["card", "distill", "evaluate", "report"]
    assert (student / SUMS).read_bytes() != before
    assert jobs(snakemake(tmp_path, "--configfile", str(file), "--dry-run").stdout) == []
