"""The command line of stages, tried on `select` and `count_tokens`, which start fast."""

import json
import subprocess
import sys
from pathlib import Path

from kdpipe.artifacts.sums import verify
from kdpipe.errors import EXIT_STATUS


def run_stage(stage: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", f"kdpipe.stages.{stage}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def count(task_data: Path, language_model: Path, output: Path, settings: str = "{}", *more: object):
    places = ("--data", task_data, "--tokenizer", language_model, "--output", output)
    return run_stage("count_tokens", "--settings", settings, *places, *more)


def test_a_stage_runs_by_hand(task_data: Path, language_model: Path, tmp_path: Path) -> None:
    done = count(task_data, language_model, tmp_path / "counts", "{}", "--log", tmp_path / "log")
    assert (done.returncode, done.stderr) == (0, "")
    verify(tmp_path / "counts")


def test_a_mistake_is_one_line_and_exit_status_2(
    task_data: Path, language_model: Path, tmp_path: Path
) -> None:
    done = count(task_data, language_model, tmp_path / "counts", json.dumps({"splitt": "train"}))
    assert done.returncode == EXIT_STATUS
    assert done.stderr == "count_tokens counts: splitt: unknown key; did you mean 'split'?\n"


def test_what_is_wrong_stands_in_the_log_and_on_the_terminal(
    task_data: Path, language_model: Path, tmp_path: Path
) -> None:
    done = count(task_data, language_model, tmp_path / "counts", "[", "--log", tmp_path / "log")
    assert done.returncode == EXIT_STATUS
    assert done.stderr.startswith("count_tokens counts: --settings: expected JSON")
    assert (tmp_path / "log").read_text() == done.stderr


def test_a_bug_has_its_traceback_in_the_log_only(
    task_data: Path, language_model: Path, tmp_path: Path
) -> None:
    settings = json.dumps({"split": "nosuch"})
    done = count(task_data, language_model, tmp_path / "counts", settings, "--log", tmp_path / "log")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" in (tmp_path / "log").read_text()


def test_inputs_are_checked_against_their_digests(
    task_data: Path, language_model: Path, tmp_path: Path
) -> None:
    assert count(task_data, language_model, tmp_path / "first").returncode == 0
    sums = tmp_path / "first" / "SHA256SUMS"
    (tmp_path / "first" / "counts.parquet").write_bytes(b"")
    done = run_stage(
        "count_tokens",
        "--settings",
        "{}",
        "--data",
        sums,
        "--tokenizer",
        language_model,
        "--output",
        tmp_path / "b",
    )
    assert done.returncode == EXIT_STATUS
    assert "counts.parquet is not what its stage wrote" in done.stderr
