"""The workflow from a wheel: in an empty folder, with the same bytes, and with nothing written beside it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from tests.workflow.conftest import ROOT, snakemake, write_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a wheel installs."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, ROOT], check=True)
    [wheel] = folder.glob("kdpipe-*.whl")
    ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def kdpipe(folder: Path, site: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "kdpipe.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_what_is_shipped_is_found(installed: Path, tmp_path: Path) -> None:
    assert kdpipe(tmp_path, installed, "snakefile").stdout == f"{installed / 'kdpipe/workflow/Snakefile'}\n"
    for name in ("config/textbrewer-squad.yaml", "tinybert"):
        done = kdpipe(tmp_path, installed, "check", name)
        assert done.returncode == 0, done.stderr
    done = kdpipe(tmp_path, installed, "run", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "distill" in done.stdout + done.stderr


def test_a_run_from_a_wheel_makes_the_same_bytes(
    installed: Path, finished: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in installed.rglob("*")}
    report = {"published": "config/published/tinybert.csv"}
    write_config(tmp_path / "config.yaml", {**config, "report": report})
    done = kdpipe(tmp_path, installed, "run", "--cores", "2")
    assert done.returncode == 0, done.stderr
    for model in ("base", "teacher", "student"):
        sums = [place / "results/models" / model / "SHA256SUMS" for place in (tmp_path, finished)]
        assert sums[0].read_bytes() == sums[1].read_bytes()
    assert {path: path.stat().st_mtime_ns for path in installed.rglob("*")} == before
    # The checkout has another path, and makes nothing again.
    done = snakemake(tmp_path, "-n", "--configfile", "config.yaml")
    assert "Nothing to be done" in done.stdout, done.stdout


def test_snakemake_itself_takes_the_snakefile(
    installed: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    write_config(tmp_path / "config.yaml", config)
    snakefile = kdpipe(tmp_path, installed, "snakefile").stdout.strip()
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--cores", "1", "-n"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pretrain" in done.stdout


def test_a_chain_is_made_with_what_is_installed(installed: Path, tmp_path: Path) -> None:
    done = kdpipe(tmp_path, installed, "test")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("kdpipe works here: 7 models and a report were made in ")
    assert [*tmp_path.iterdir()] == []


def test_the_citation_is_shipped(installed: Path, tmp_path: Path) -> None:
    assert yaml.safe_load(kdpipe(tmp_path, installed, "citation").stdout)["title"].startswith("kdpipe")
