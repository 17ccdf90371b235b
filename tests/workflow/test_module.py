"""The workflow as a module of another workflow, which may give its rules and folders other names."""

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.sums import SUMS, verify
from kdpipe.errors import EXIT_STATUS
from tests.workflow.conftest import ROOT, jobs, snakemake, write_config

pytestmark = pytest.mark.slow
# The other workflow has its own config, rule and handlers, and takes the scores from the module's report.
OUTER = """
configfile: "outer.yaml"
module kdpipe:
    snakefile: {root!r}
    config: config["compression"]
    {prefix}
use rule * from kdpipe {names}
use rule create from kdpipe as {create} with:
    threads: 1
rule best:
    default_target: True
    input: rules.{report}.output
    output: "best.csv"
    shell: "cp {results}/report/results.csv {{output}}; echo ${{{{OMP_WAIT_POLICY:-none}}}} > environment"
onsuccess:
    print("the other workflow has ended")
"""
PLAIN = {"prefix": "", "names": "", "create": "create", "report": "report", "results": "results"}
PREFIXED = {
    "prefix": 'prefix: "below"',
    "names": "as kdpipe_*",
    "create": "kdpipe_create",
    "report": "kdpipe_report",
    "results": "below/results",
}


def write_outer(folder: Path, config: dict[str, Any], names: dict[str, str]) -> Path:
    """Write a workflow that has kdpipe as a module, and its config."""
    write_config(folder / "outer.yaml", {"models": "of something else", "compression": config})
    snakefile = folder / "Snakefile"
    snakefile.write_text(OUTER.format(root=str(ROOT / "Snakefile"), **names), encoding="utf-8")
    return snakefile


@pytest.mark.parametrize("names", [PLAIN, PREFIXED], ids=["plain", "prefixed"])
def test_a_dry_run_lists_the_jobs_and_writes_nothing(
    tmp_path: Path, config: dict[str, Any], names: dict[str, str]
) -> None:
    done = snakemake(tmp_path, "-n", snakefile=write_outer(tmp_path, config, names))
    assert done.returncode == 0, done.stdout
    assert {names["report"], "best"} < set(jobs(done.stdout))
    assert f"{names['results']}/report/report.html" in done.stdout
    assert not (tmp_path / names["results"]).exists()


def test_a_mistake_in_the_config_that_is_handed_in_is_told(tmp_path: Path, config: dict[str, Any]) -> None:
    wrong = copy.deepcopy(config)
    wrong["models"]["student"]["distill"]["teacher"] = "teecher"
    done = snakemake(tmp_path, "-n", snakefile=write_outer(tmp_path, wrong, PREFIXED))
    assert done.returncode == EXIT_STATUS
    assert "models.student.distill.teacher: there is no model 'teecher'" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("given", ["", "config: config"], ids=["none", "empty"])
def test_without_a_config_no_default_run_is_taken(tmp_path: Path, given: str) -> None:
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text(
        f"module kdpipe:\n    snakefile: {str(ROOT / 'Snakefile')!r}\n    {given}\nuse rule * from kdpipe\n"
    )
    done = snakemake(tmp_path, "-n", snakefile=snakefile)
    assert done.returncode == EXIT_STATUS, done.stdout
    assert "the module of kdpipe: expected a config with `models`, found an empty config" in done.stdout
    assert "Traceback" not in done.stdout


def test_it_is_as_snakemake_s_linter_wants_it(tmp_path: Path, config: dict[str, Any]) -> None:
    path = write_config(tmp_path / "config.yaml", config)
    done = snakemake(tmp_path, "--configfile", path, "--lint")
    assert done.returncode == 0, done.stdout
    assert "Lints for" not in done.stdout


def test_it_runs_from_an_empty_folder_to_its_report_and_then_as_manifests_say(
    tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    done = snakemake(tmp_path, snakefile=write_outer(tmp_path, config, PREFIXED))
    assert done.returncode == 0, done.stdout
    results = tmp_path / PREFIXED["results"]
    assert (tmp_path / "best.csv").read_bytes() == (results / "report/results.csv").read_bytes()
    assert (results / "report/report.html").stat().st_size > 10_000
    for sums in results.rglob(SUMS):
        verify(sums.parent)
    # The screen, the last word and the environment of jobs are the other workflow's.
    assert "Job stats:" in done.stdout
    assert "the other workflow has ended" in done.stdout
    assert (tmp_path / "environment").read_text() == "none\n"
    assert not list((results / ".state/finished").glob("*"))

    changed = copy.deepcopy(config)
    changed["models"]["student"]["distill"]["losses"][0]["temperature"] = 4
    snakefile = write_outer(tmp_path, changed, PREFIXED)
    done = snakemake(tmp_path, "-n", snakefile=snakefile)
    assert jobs(done.stdout) == ["best", "kdpipe_distill", "kdpipe_evaluate", "kdpipe_report"]
    assert len(re.findall("models/student is made again: settings.losses.0.temperature", done.stdout)) == 1
    shutil.rmtree(results / "evaluations/teacher/task")
    (results / "evaluations/teacher/task").mkdir()
    (results / "evaluations/teacher/task/notes.txt").write_text("the user's")
    done = snakemake(tmp_path, "-n", snakefile=snakefile)
    assert done.returncode == EXIT_STATUS
    assert "notes.txt is not what kdpipe wrote there" in done.stdout
