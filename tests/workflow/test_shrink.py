"""Every shipped config at paper scale runs in small to its report, without network and without data."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.workflow.conftest import ROOT, snakemake

pytestmark = pytest.mark.slow


# One task of each kind.
@pytest.mark.parametrize(
    ("configs", "task", "metric"),
    [
        (["rosita"], "stsb", "pearson"),
        (["minidisc"], "cola", "matthews"),
        (["minidisc", "maxidisc"], "conll", "f1"),
    ],
)
def test_a_config_at_paper_scale_runs_in_small(
    configs: list[str], task: str, metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDPIPE_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    files = [str(ROOT / "config" / f"{name}.yaml") for name in configs]
    command = [sys.executable, "-m", "kdpipe.cli", "shrink", *files, "--output", "small"]
    subprocess.run([*command, "--value", f"task={task}"], cwd=tmp_path, check=True)
    done = snakemake(tmp_path, "--configfile", "small/config.yaml")
    assert done.returncode == 0, done.stdout
    report = tmp_path / "small/results/report"
    assert (report / "report.html").stat().st_size > 10_000
    results = pq.read_table(report / "results.parquet").to_pandas()
    scored = results[(results["metric"] == metric) & (results["split"] == "validation")]
    assert f"teacher-{task}" in set(scored["model"])
    assert f"{configs[-1]}-{task}-1" in set(scored["model"])
