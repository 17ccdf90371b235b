"""Measurements in the workflow: one at a time, and again only when the model or the batches have changed."""

import re
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from tests.workflow.conftest import jobs, snakemake, write_config

pytestmark = pytest.mark.slow
LATENCY = {"batch": [1, 2], "length": [8]}


def run(folder: Path, config: dict[str, Any], *arguments: str) -> str:
    done = snakemake(folder, "--configfile", write_config(folder / "config.yaml", config), *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_models_are_measured_one_at_a_time(folder: Path, config: dict[str, Any]) -> None:
    config = {**config, "measure": {"models": ["teacher", "student"], "latency": LATENCY}}
    assert "\n    threads: 2\n" in run(folder, config, "-n")
    told = run(folder, config)
    assert jobs(told) == ["card", "measure", "measure", "report"]
    steps = re.findall(r"^[\d:]{8}  (done|\d of \d)  measure", told, re.MULTILINE)
    assert [step == "done" for step in steps] == [False, True, False, True]
    inputs = read_manifest(folder / "results/report")["inputs"]
    assert {name for name in inputs if "measurements" in name} == {
        "measurements/teacher",
        "measurements/student",
    }
    assert read_manifest(folder / "results/measurements/teacher")["settings"]["threads"] == 1
    assert jobs(run(folder, config, "-n")) == []
    more = {**config, "measure": {"models": ["teacher", "student"], "latency": {**LATENCY, "threads": 2}}}
    assert jobs(run(folder, more, "-n")) == ["card", "measure", "measure", "report"]
    # A measurement that is made again to other times makes nothing but the report and the cards again.
    again = run(folder, config, "-n", "--forcerun", "results/measurements/student/SHA256SUMS")
    assert jobs(again) == ["card", "measure", "report"]
