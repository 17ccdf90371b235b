"""`kdpipe clean` removes what nobody needs; nothing has to be made again."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kdpipe.runner.lock import locked
from tests.workflow.conftest import jobs, snakemake, write_config

pytestmark = pytest.mark.slow


def clean(folder: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", "kdpipe.cli", "clean", "config.yaml", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_used_caches_go_and_nothing_is_to_be_done(folder: Path) -> None:
    (cache,) = (folder / "results/knowledge/teacher/task").iterdir()
    cache_line, total = clean(folder)
    assert cache_line.endswith(f"MB  {cache.relative_to(folder)}  (a teacher's signals, used by all)")
    assert total.endswith("MB  may be removed, with --yes")
    assert cache.exists()
    assert clean(folder, "--yes")[-1].endswith("MB  removed")
    assert [path.name for path in cache.iterdir()] == ["manifest.json"]
    assert "Nothing to be done" in snakemake(folder, "--configfile", "config.yaml", "-n").stdout


def test_what_is_of_no_node_goes_and_what_is_unfinished_stays(folder: Path, config: dict[str, Any]) -> None:
    state = folder / "results/.state"
    for name in ("models+student", "models+teacher"):
        (state / "checkpoints" / name / "key").mkdir(parents=True)
        (state / "drafts" / name).mkdir(parents=True)
    for name in ("small", "student", "teacher"):
        (state / "finished" / f"models+{name}").mkdir(parents=True)
    (folder / "results/models/student/SHA256SUMS").unlink()
    models = {name: node for name, node in config["models"].items() if name != "small"}
    models["student"] = {"distill": {**models["student"]["distill"], "student": "base"}}
    write_config(folder / "config.yaml", {**config, "models": models})
    with locked(state / "locks/models+student"):
        found = {line.split()[2].removeprefix("results/") for line in clean(folder)[:-1]}
    # The cache is of other states than the deeper student's.
    unused = {name for name in found if name.startswith("knowledge/teacher/task/")}
    assert found - unused == {
        "models/small",
        ".state/checkpoints/models+teacher",
        ".state/drafts/models+teacher",
    }
    assert len(unused) == 1
    clean(folder, "--yes")
    assert sorted(path.name for path in (state / "finished").iterdir()) == [
        "models+student",
        "models+teacher",
    ]
    plan = snakemake(folder, "--configfile", "config.yaml", "-n").stdout
    assert jobs(plan) == ["cache_teacher", "card", "distill", "evaluate", "report"]
    assert (state / "checkpoints/models+student/key").exists()


def test_a_run_forgets_what_it_was_about_and_nothing_else(language_model: Path, tmp_path: Path) -> None:
    """The copy of what another target needs may be the last one."""
    models = {
        "base": {"load": {"path": str(language_model)}},
        "small": {"extract": {"model": "base", "layers": "first:1"}},
        "smaller": {"extract": {"model": "base", "layers": "first:2"}},
    }
    write_config(tmp_path / "config.yaml", {"results": "results", "models": models})
    left = tmp_path / "results/.state/finished"
    (left / "models+smaller").mkdir(parents=True)
    done = snakemake(tmp_path, "results/models/small/SHA256SUMS", "--configfile", "config.yaml")
    assert done.returncode == 0, done.stdout
    assert [path.name for path in left.iterdir()] == ["models+smaller"]


def test_a_run_of_which_a_part_failed_forgets_the_rest(language_model: Path, tmp_path: Path) -> None:
    """An artifact that is made anew on purpose is not restored from an earlier run."""
    weights = shutil.copytree(language_model, tmp_path / "broken") / "model.safetensors"
    # No check reads that some are no numbers.
    weights.write_bytes(weights.read_bytes()[:-100] + b"\xff" * 100)
    models = {
        "base": {"load": {"path": str(language_model)}},
        "small": {"extract": {"model": "base", "layers": "first:1"}},
        "broken": {"load": {"path": "broken"}},
    }
    write_config(tmp_path / "config.yaml", {"results": "results", "models": models})
    done = snakemake(tmp_path, "--configfile", "config.yaml", "--keep-going")
    assert done.returncode == 1
    assert (tmp_path / "results/models/small/SHA256SUMS").exists()
    assert not list((tmp_path / "results/.state/finished").iterdir())
