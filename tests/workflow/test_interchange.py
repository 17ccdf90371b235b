"""Counterfactual runs in the workflow: a file of mappings is an input of the node."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.workflow.conftest import jobs, snakemake, write_config

pytestmark = pytest.mark.slow


def mapping(teacher: int) -> str:
    blocks = {"teacher": teacher, "student": 0}
    sides = {f"{who}_variable_names": [f"$L:{block}$H:[0:2]$[0:8]"] for who, block in blocks.items()}
    return json.dumps({"interchange_variable_mappings": [sides]})


def test_a_changed_mapping_makes_the_student_again(folder: Path, config: dict[str, Any]) -> None:
    config = deepcopy(config)
    config["models"]["student"]["distill"] |= {
        "interchange": {"alignment": "sites.nm"},
        "losses": [{"loss": "kl"}, {"loss": "kl", "run": "counterfactual"}],
    }
    file = write_config(folder / "config.yaml", config)
    (folder / "sites.nm").write_text(mapping(0))
    done = snakemake(folder, "--configfile", file)
    assert done.returncode == 0, done.stdout
    # The teacher runs beside the student, so that nothing of it is cached.
    assert jobs(done.stdout) == ["card", "distill", "evaluate", "report"]
    history = pd.read_parquet(folder / "results/models/student/history.parquet")
    assert {"kl", "kl_counterfactual"} <= set(history["name"])
    assert jobs(snakemake(folder, "--configfile", file, "-n").stdout) == []
    (folder / "sites.nm").write_text(mapping(1))
    assert jobs(snakemake(folder, "--configfile", file, "-n").stdout) == [
        "card",
        "distill",
        "evaluate",
        "report",
    ]
    (folder / "sites.nm").unlink()
    gone = snakemake(folder, "--configfile", file, "-n")
    assert gone.returncode
    assert "interchange.alignment: sites.nm: No such file or directory" in gone.stdout
