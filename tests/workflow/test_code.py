"""A change of kdpipe's own code runs again what uses it, and what descends from that; nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.conftest import ROOT, jobs, snakemake, write_config

pytestmark = pytest.mark.slow
LOSS = "kdpipe/losses/soft_cross_entropy.py"
OLD, NEW = "        return cross_entropy", "        more = 0\n        return cross_entropy"


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of kdpipe, which runs in place of the original."""
    folder = tmp_path / "kdpipe"
    for name in ("kdpipe", "rules", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    return folder


@pytest.fixture
def listed(folder: Path, copied: Path) -> Callable[..., list[str]]:
    """A function that edits a file of a copy of kdpipe and returns the jobs that the workflow then lists."""

    def edit(file: str, old: str, new: str) -> list[str]:
        replace(copied / file, old, new)
        done = snakemake(folder, "--configfile", "config.yaml", "-n", snakefile=copied / "Snakefile")
        assert done.returncode == 0, done.stdout
        return jobs(done.stdout)

    return edit


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_loss_reruns_the_student_that_is_trained_by_it(listed: Callable[..., list[str]]) -> None:
    assert listed(LOSS, OLD, NEW) == ["card", "distill", "evaluate", "report"]


def test_a_comment_and_a_loss_that_nothing_uses_rerun_nothing(listed: Callable[..., list[str]]) -> None:
    assert listed(LOSS, '"""Cross', '"""In words: cross') == []
    assert listed("kdpipe/losses/cosine.py", "import", "import os\nimport") == []


def test_code_counts_only_if_asked_for(
    folder: Path, config: dict[str, Any], listed: Callable[..., list[str]]
) -> None:
    write_config(folder / "config.yaml", {**config, "rerun": {"code": False}})
    assert listed("kdpipe/runner/command_line.py", "status = 0", "status = 0 + 0") == []


def test_what_code_made_that_is_there_no_more_is_made_again(
    folder: Path, copied: Path, listed: Callable[..., list[str]]
) -> None:
    """An edit after the start of a run, taken back before the next one, is in the manifest alone."""
    replace(copied / LOSS, OLD, NEW)
    target = "results/models/student/SHA256SUMS"
    done = snakemake(folder, "--configfile", "config.yaml", "--", target, snakefile=copied / "Snakefile")
    assert done.returncode == 0, done.stdout
    assert jobs(done.stdout) == ["distill"]
    assert listed(LOSS, NEW, OLD) == ["card", "distill", "evaluate", "report"]
