"""Snakemake adds up the resources of the jobs of a group."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import ROOT, pipeline

pytestmark = pytest.mark.slow
ASKED = f"""
import json
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.resources import GroupResources
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

with SnakemakeApi(OutputSettings(quiet={{Quietness.ALL}})) as api:
    workflow = api.workflow(
        ResourceSettings(cores=2),
        ConfigSettings(configfiles=[Path("config.yaml")]),
        snakefile=Path({str(ROOT / "Snakefile")!r}),
    )
    workflow.dag().execute_workflow(executor="dryrun")
    asked = {{}}
    for group in workflow._workflow.dag._group.values():
        merged = GroupResources.basic_layered(list(group.toposorted), group.global_resources, run_local=False)
        asked[group.groupid] = [sorted(group.rules), dict(merged)]
    print(json.dumps(asked))
"""


def asked_for(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Return the rules of each group of a config, and the resources that it asks for."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    run = subprocess.run(
        [sys.executable, "-c", ASKED], cwd=folder, text=True, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def test_a_model_that_is_scored_and_submitted_takes_the_processors_of_one_job(
    tmp_path: Path, sst2: Path, text_files: Path
) -> None:
    config = pipeline(sst2, text_files) | {"gpus": 1}
    config["models"]["student"]["distill"]["submit"] = ["task"]
    rules, resources = asked_for(tmp_path, config)["train-student"]
    assert rules == ["distill", "evaluate", "extract"]
    assert (resources["gpu"], resources["_cores"]) == (1, 1)
    assert resources["runtime"] <= 24 * 60


def test_an_export_and_its_scores_are_one_job_without_a_gpu(
    tmp_path: Path, sst2: Path, text_files: Path
) -> None:
    config = pipeline(sst2, text_files) | {"gpus": 1}
    config["models"]["student"]["distill"]["export"] = ["onnx"]
    rules, resources = asked_for(tmp_path, config)["export-student-onnx"]
    assert rules == ["evaluate", "export"]
    assert (resources.get("gpu", 0), resources["_cores"]) == (0, 1)
