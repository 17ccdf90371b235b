"""Cards in a workflow: made once, made again, and left alone where the user has edited them."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kdpipe.errors import EXIT_STATUS
from tests.workflow.conftest import jobs, snakemake, write_config

pytestmark = pytest.mark.slow
TEACHER, STUDENT = "results/models/teacher/README.md", "results/models/student/README.md"


def test_a_card_that_is_gone_is_written_again(folder: Path) -> None:
    before = (folder / TEACHER).read_bytes()
    (folder / TEACHER).unlink()
    done = snakemake(folder, "--configfile", "config.yaml")
    assert done.returncode == 0, done.stdout
    assert jobs(done.stdout) == ["card"]
    assert (folder / TEACHER).read_bytes() == before


def test_an_edited_card_stays_and_costs_nothing_else(folder: Path, config: dict[str, Any]) -> None:
    (folder / TEACHER).write_text("# Mine")
    assert "Nothing to be done" in snakemake(folder, "--configfile", "config.yaml").stdout
    changed = copy.deepcopy(config)
    changed["models"]["teacher"]["finetune"]["evaluate"] = []
    arguments = "--configfile", write_config(folder / "config.yaml", changed)
    done = snakemake(folder, *arguments)
    assert done.returncode == 1
    assert f"card cards: {TEACHER}: expected a card as kdpipe wrote it" in done.stdout
    assert jobs(snakemake(folder, *arguments, "-n").stdout) == ["card"]
    (folder / TEACHER).unlink()
    assert snakemake(folder, *arguments).returncode == 0
    assert "Nothing scores this model." in (folder / TEACHER).read_text()


def test_an_edited_card_keeps_its_model_from_being_made_again(folder: Path, config: dict[str, Any]) -> None:
    (folder / STUDENT).write_text("# Mine")
    changed = copy.deepcopy(config)
    changed["models"]["student"]["distill"]["seed"] = 3
    done = snakemake(folder, "--configfile", write_config(folder / "config.yaml", changed))
    assert done.returncode == EXIT_STATUS
    assert f"{STUDENT} is not what kdpipe wrote there" in done.stdout
    assert (folder / STUDENT).read_text() == "# Mine"


def test_clean_takes_a_model_that_nobody_needs_with_its_card_but_no_edited_card(
    folder: Path, config: dict[str, Any]
) -> None:
    models = {name: config["models"][name] for name in ("base", "teacher")}
    write_config(folder / "config.yaml", {**config, "models": models})
    (folder / STUDENT).write_text("# Mine")
    command = [sys.executable, "-m", "kdpipe.cli", "clean", "config.yaml", "--yes"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "foreign: results/models/student; README.md in it was changed since, left alone" in done.stdout
    assert (folder / STUDENT).read_text() == "# Mine"
    assert not (folder / "results/models/small").exists()
    assert (folder / TEACHER).exists()
