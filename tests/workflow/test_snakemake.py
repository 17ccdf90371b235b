"""Snakemake behaves as kdpipe relies on; a workflow of ten lines shows it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SNAKEFILE = """
rule all:
    input: "a/SUMS", "b/SUMS"
rule first:
    output: "a/data", "a/SUMS"
    params: rate=config.get("rate", 1)
    shell: "echo {params.rate} > a/data; echo same > a/SUMS"
rule second:
    input: "a/SUMS"
    output: "b/SUMS"
    params: fail=config.get("fail", "")
    shell: "{params.fail} cat {input} > {output}"
"""
TRIGGERS = ["--rerun-triggers", "mtime", "params", "input"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    assert run(tmp_path).returncode == 0
    return tmp_path


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *TRIGGERS, *arguments]
    return subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_changed_params_rerun_a_rule_and_what_descends(folder: Path) -> None:
    output = run(folder, "-n", "--config", "rate=2").stdout
    assert "rule first" in output
    assert "rule second" in output


def test_equal_bytes_of_an_input_stop_at_the_next_invocation(folder: Path) -> None:
    assert run(folder, "--config", "rate=2", "--", "a/SUMS").returncode == 0
    assert "Nothing to be done" in run(folder, "--config", "rate=2").stdout


def test_a_changed_shell_line_reruns_nothing(folder: Path) -> None:
    text = (folder / "Snakefile").read_text().replace("cat {input}", "cat  {input}")
    (folder / "Snakefile").write_text(text)
    assert "Nothing to be done" in run(folder).stdout


def test_a_failed_job_is_listed_again_where_its_output_is_a_target(folder: Path) -> None:
    assert run(folder, "--config", "fail=false;").returncode == 1
    assert "rule second" in run(folder, "-n", "--config", "fail=false;").stdout


def test_what_a_failed_job_wrote_whole_is_kept_and_counts_as_done(folder: Path) -> None:
    """So a model survives the failed evaluation in the job of a cluster that trained it."""
    (folder / "b/SUMS").unlink()
    text = (
        (folder / "Snakefile").read_text().replace("cat {input} > {output}", "cat {input} > {output}; exit 1")
    )
    (folder / "Snakefile").write_text(text)
    assert run(folder).returncode == 1
    assert not (folder / "b/SUMS").exists()
    assert run(folder, "--keep-incomplete").returncode == 1
    assert (folder / "b/SUMS").exists()
    assert "Nothing to be done" in run(folder, "--rerun-incomplete").stdout


def test_jobs_have_the_environment_of_their_user(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "own"))
    monkeypatch.setenv("HF_HOME", "/models")
    assert run(folder, "--config", "fail=echo $TMPDIR $HF_HOME > seen;").returncode == 0
    assert (folder / "seen").read_text() == f"{tmp_path / 'own'} /models\n"


def test_what_lies_between_may_be_removed_when_all_is_done(folder: Path) -> None:
    text = (folder / "Snakefile").read_text().replace('input: "a/SUMS", "b/SUMS"', 'input: "b/SUMS"')
    (folder / "Snakefile").write_text(text)
    (folder / "a/SUMS").unlink()
    assert "Nothing to be done" in run(folder).stdout
