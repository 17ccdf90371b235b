"""Every shipped config at paper scale runs in small to its report, without network and without data."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.conftest import ROOT, snakemake

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("configs", [["rosita"], ["minidisc", "maxidisc"]])
def test_a_config_at_paper_scale_runs_in_small(
    configs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDPIPE_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    files = [str(ROOT / "config" / f"{name}.yaml") for name in configs]
    command = [sys.executable, "-m", "kdpipe.cli", "shrink", *files, "--output", "small"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = snakemake(tmp_path, "--configfile", "small/config.yaml")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "small/results/report/report.html").stat().st_size > 10_000
