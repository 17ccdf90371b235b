"""Two configs share a teacher's signals: the second does not run the teacher."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.conftest import jobs, snakemake, write_config

pytestmark = pytest.mark.slow


def caches(folder: Path) -> list[Path]:
    return sorted((folder / "results/knowledge/teacher/task").iterdir())


def test_a_second_config_takes_what_the_first_has_made(
    folder: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    """The first folder has run without sharing; to share reruns nothing, and its next cache goes there."""
    shared = {**config, "knowledge_dir": str(tmp_path / "all")}
    write_config(folder / "config.yaml", shared)
    assert "Nothing to be done" in snakemake(folder, "--configfile", "config.yaml", "-n").stdout
    done = snakemake(folder, "--configfile", "config.yaml", "--forcerun", "cache_teacher")
    assert done.returncode == 0, done.stdout
    other = tmp_path / "other"
    shutil.copytree(folder / "results/models", other / "results/models", ignore=lambda *_: ["student"])
    # The cards in the folders of the models are known by their copies here.
    for part in ("cards", "data"):
        shutil.copytree(folder / "results" / part, other / "results" / part)
    write_config(other / "config.yaml", shared)
    done = snakemake(other, "--configfile", "config.yaml")
    assert done.returncode == 0, done.stdout
    assert "cache_teacher" in jobs(done.stdout)
    (ours,), (theirs,) = caches(folder), caches(other)
    manifests = [json.loads((cache / "manifest.json").read_text()) for cache in (ours, theirs)]
    assert [manifest["forwards"] > 0 for manifest in manifests] == [True, False]
    (entry,) = [path for path in (tmp_path / "all").iterdir() if not path.name.startswith(".")]
    files = {(place / "signals.arrow").stat().st_ino for place in (ours, theirs, entry)}
    assert len(files) == 1
    students = [place / "results/models/student/SHA256SUMS" for place in (folder, other)]
    assert students[0].read_bytes() == students[1].read_bytes()
    assert "Nothing to be done" in snakemake(other, "--configfile", "config.yaml", "-n").stdout
