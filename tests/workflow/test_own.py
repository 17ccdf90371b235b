"""A workflow that includes kdpipe's runs a stage, a loss and a source that kdpipe does not have."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.parquet import read_parquet
from tests.tolerance import rounding
from tests.workflow.conftest import ROOT, jobs, snakemake, write_config
from tests.workflow.test_code import replace

pytestmark = pytest.mark.slow
TRAINING = {"num_train_epochs": 1, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "bf16": False}
LOSS = {"loss": "value_mse", "layers": "spaced"}


def distill(cache: str) -> dict[str, Any]:
    student = {"teacher": "teacher", "student": "noisy", "dataset": "task", "losses": [LOSS]}
    return {**student, "cache": cache, "cache_precision": "float32", "training": TRAINING}


@pytest.fixture
def config(classifier: Path, sst2: Path, tmp_path: Path) -> dict[str, Any]:
    """Two students, with noise in their first weights, learn the teacher's values on marked texts."""
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in ("train", "dev"):
        _, *rows = (sst2 / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
        lines = ("+" * int(label) + text for text, _, label in (row.partition("\t") for row in rows))
        (texts / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = {"source": "marked", "task": "classification", "path": str(texts), "max_length": 32}
    return {
        "threads": 1,
        "datasets": {"task": source},
        "models": {
            "teacher": {"load": {"path": str(classifier)}},
            "noisy": {"noise": {"model": "teacher", "evaluate": []}},
            "cached": {"distill": {**distill("on"), "evaluate": []}},
            "online": {"distill": distill("off")},
        },
    }


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out as docs/extending.md says."""
    folder = tmp_path / "own"
    shutil.copytree(ROOT / "tests/own", folder / "tests/own")
    for name in ("Snakefile", "sitecustomize.py"):
        shutil.move(folder / "tests/own" / name, folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    return folder


def test_it_runs_to_its_report_and_again_what_has_changed(
    own: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    place = tmp_path / "run"
    place.mkdir()
    arguments = "--configfile", write_config(place / "config.yaml", config)

    def run(*more: str) -> list[str]:
        done = snakemake(place, "all", *arguments, *more, snakefile=own / "Snakefile")
        assert done.returncode == 0, done.stdout
        return jobs(done.stdout)

    made = ["card", "distill", "distill", "evaluate", "load", "noise", "preprocess", "report"]
    assert run() == ["cache_teacher", *made]
    assert (place / "results/report/report.html").stat().st_size > 10_000
    online, cached = (
        read_parquet(place / f"results/models/{name}/history.parquet") for name in ("online", "cached")
    )
    assert "value_mse" in {row["name"] for row in online}
    for ours, theirs in zip(cached, online, strict=True):
        assert ours["value"] == pytest.approx(theirs["value"], rel=rounding(), abs=rounding())
    assert run("-n") == []

    replace(own / "tests/own/value_mse.py", "self.scale * (", "2 * self.scale * (")
    changed = ["card", "distill", "distill", "evaluate", "report"]
    assert run("-n") == changed
    why = [sys.executable, "-m", "kdpipe.cli", "why", "cached", "config.yaml"]
    done = subprocess.run(why, cwd=place, capture_output=True, text=True)
    assert "tests.own.value_mse has changed" in done.stdout, done.stderr
    replace(own / "tests/own/marked.py", "int(line", "int(not line")
    assert run("-n") == sorted(["preprocess", "cache_teacher", *changed])
