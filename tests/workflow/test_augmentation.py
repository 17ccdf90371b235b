"""Datasets with copies and with a model's labels in the workflow: only what a change reaches runs again."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import SUMS
from kdpipe.data.encoded import read_description
from tests.workflow.conftest import jobs, snakemake, write_config

pytestmark = pytest.mark.slow
COPIES = f"results/augmented/copies/{SUMS}"


@pytest.fixture
def augmented(config: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A teacher of masked sentences; a student of copies by a model; a student of text that has no labels."""
    config = deepcopy(config)
    (tmp_path / "more.txt").write_text("a good film\nthe plot was dull\nthe actor is warm and good\n")
    config["datasets"] |= {
        "masked": {"augment": {"dataset": "task", "method": "mask", "probability": 0.2, "copies": 2}},
        "copies": {"augment": {"dataset": "task", "method": "masked_lm", "model": "base", "labels": "none"}},
        "more": {
            "source": "text",
            "path": str(tmp_path / "more.txt"),
            "labels": {"from": "teacher"},
            "max_length": 32,
        },
    }
    models, losses = config["models"], [{"loss": "kl"}]
    models["teacher"]["finetune"]["dataset"] = "masked"
    student = {**models["student"]["distill"], "losses": losses}
    models["student"]["distill"] = {**student, "dataset": "copies"}
    models["pupil"] = {"distill": {**student, "dataset": "more", "evaluate": ["task"]}}
    return config


def test_it_runs_to_its_report_and_again_what_has_changed(augmented: dict[str, Any], tmp_path: Path) -> None:
    file, results = tmp_path / "config.yaml", tmp_path / augmented["results"]
    run = snakemake(tmp_path, "--configfile", write_config(file, augmented))
    assert run.returncode == 0, run.stdout
    assert jobs(run.stdout).count("augment") == 2
    made, data = results / "augmented/copies", results / "data"
    train = read_description(data / "copies/base")["splits"]["train"]
    assert train["rows"] == read_manifest(made)["rows"] > 150
    assert "labels" not in train["columns"]
    assert read_description(data / "masked/base")["splits"]["train"]["rows"] > 200
    assert read_description(data / "more/base")["splits"]["train"]["rows"] == 3
    assert jobs(snakemake(tmp_path, "--configfile", str(file), "--dry-run").stdout) == []

    # An artifact that is lost is made again to the same bytes, and nothing after it runs.
    before = (made / SUMS).read_bytes()
    (made / "train.parquet").unlink()
    run = snakemake(tmp_path, COPIES, "--configfile", str(file))
    assert run.returncode == 0, run.stdout
    assert (made / SUMS).read_bytes() == before
    assert jobs(snakemake(tmp_path, "--configfile", str(file), "--dry-run").stdout) == []

    augmented["datasets"]["copies"]["augment"]["probability"] = 0.8
    run = snakemake(tmp_path, "--configfile", write_config(file, augmented))
    assert run.returncode == 0, run.stdout
    assert jobs(run.stdout) == sorted(
        ["augment", "preprocess", "cache_teacher", "distill", "evaluate", "report", "card"]
    )
    assert (made / SUMS).read_bytes() != before


def test_a_run_that_has_failed_goes_on(augmented: dict[str, Any], tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.yaml", augmented)
    run = snakemake(tmp_path, COPIES, "--configfile", config)
    assert run.returncode == 0, run.stdout
    (tmp_path / "more.txt").write_text("")
    run = snakemake(tmp_path, "--configfile", config)
    assert run.returncode != 0
    assert "expected at least one line, found an empty file" in run.stdout
    (tmp_path / "more.txt").write_text("a good film\n")
    run = snakemake(tmp_path, "--configfile", config)
    assert run.returncode == 0, run.stdout
    assert jobs(run.stdout).count("augment") == 1
