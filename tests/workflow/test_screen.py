"""The screen of a run: the user reads nothing else."""

import os
import re
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.terminal import run_on_terminal, shown
from tests.workflow.conftest import ROOT, SNAKEMAKE, snakemake, write_config

pytestmark = pytest.mark.slow

DIVERGES = {"max_steps": 20, "learning_rate": 1000, "weight_decay": 1000, "lr_scheduler_type": "constant"}
TIME = r"\d\d:\d\d:\d\d"
BEGINS = re.compile(rf"{TIME}  \d+ of \d+  (.+)")


def run(folder: Path, config: dict[str, Any], *flags: str) -> list[str]:
    write_config(folder / "config.yaml", config)
    return snakemake(folder, "--configfile", "config.yaml", "--cores", "1", *flags).stdout.splitlines()


@pytest.fixture
def two(language_model: Path, sst2: Path) -> dict[str, Any]:
    """A model that is loaded and fine-tuned twice."""
    data = {"source": "glue", "name": "SST-2", "path": str(sst2), "max_length": 32}
    fast = {"num_train_epochs": 1, "per_device_train_batch_size": 16}
    tuned = {"model": "base", "dataset": "task", "training": fast}
    models = {
        "base": {"load": {"path": str(language_model)}},
        "a": {"finetune": tuned},
        "b": {"finetune": {**tuned, "seed": 2}},
    }
    return {"results": "results", "threads": 1, "datasets": {"task": data}, "models": models}


def test_a_run_shows_a_line_a_job_then_the_scores_and_where_the_report_is(
    two: dict[str, Any], tmp_path: Path
) -> None:
    lines = run(tmp_path, two)
    begun = [found[1] for line in lines if (found := BEGINS.fullmatch(line))]
    assert sorted(begun) == [
        *("card cards", "evaluate a task", "evaluate b task", "finetune a", "finetune b"),
        *("load base", "preprocess task base", "report"),
    ]
    assert f"{len(begun)} jobs to run" in lines
    (head,) = (at for at, line in enumerate(lines) if line.split()[:2] == ["task", "parameters"])
    assert [line.split()[0] for line in lines[head + 3 : head + 5]] == ["a", "b"]
    assert lines[-2] == "report: results/report/report.html"
    assert re.fullmatch(r"disk: \d\.\d\d GB in results", lines[-1])
    done = [line for line in lines if re.fullmatch(rf"{TIME}  done  .+, \d+ s", line)]
    assert len(done) == len(begun)
    assert len(lines) < 2 * len(begun) + 15
    assert run(tmp_path, two)[-1] == "Nothing to be done; report: results/report/report.html"
    two["models"]["b"]["finetune"]["seed"] = 3
    lines = run(tmp_path, two, "results/models/a/SHA256SUMS")
    assert lines[-1] == "Nothing to be done; report of an earlier run: results/report/report.html"
    two["models"]["b"]["finetune"]["training"] = DIVERGES
    assert "report of an earlier run: results/report/report.html" in run(tmp_path, two)


def test_what_fails_is_told_once_and_named_at_the_end(two: dict[str, Any], tmp_path: Path) -> None:
    two["models"]["b"]["finetune"]["training"] = DIVERGES
    lines = run(tmp_path, two, "--keep-going")
    (said,) = (line for line in lines if line.startswith("finetune b: "))
    assert said in (tmp_path / "results/logs/finetune/b.log").read_text()
    assert "failed: finetune b; its log is results/logs/finetune/b.log" in lines
    assert not [line for line in lines if "CalledProcessError" in line or "Error in rule" in line]
    (head,) = (at for at, line in enumerate(lines) if line.split()[:2] == ["task", "parameters"])
    assert lines[head + 3].split()[0] == "a"
    assert "report: results/report/report.html" not in lines
    assert lines[-1].startswith("Snakemake's log is ")


def test_a_job_that_cannot_say_why_it_ended_is_told_too(two: dict[str, Any], tmp_path: Path) -> None:
    process = start_training(two, tmp_path)
    subprocess.run(["pkill", "-KILL", "-f", f"stages.finetune .*--state {two['results']}"], check=True)
    assert process.wait(60) != 0
    lines = (tmp_path / "screen").read_text().splitlines()
    assert [line for line in lines if re.match("finetune a failed: .* INFO step ", line)]
    assert f"failed: finetune a; its log is {two['results']}/logs/finetune/a.log" in lines


@pytest.mark.parametrize("flag", ["--verbose", "--printshellcmds", "--dry-run"])
def test_snakemake_s_own_lines_are_there_for_whom_wants_them(
    two: dict[str, Any], tmp_path: Path, flag: str
) -> None:
    lines = run(tmp_path, two, flag, "results/models/base/SHA256SUMS")
    assert "Job stats:" in lines
    assert any(line.endswith("rule load:") for line in lines)


@pytest.mark.parametrize("presses", [1, 3])
def test_ctrl_c_ends_with_how_to_go_on(two: dict[str, Any], tmp_path: Path, presses: int) -> None:
    process = start_training(two, tmp_path)
    for _ in range(presses):
        # A terminal sends it to all processes in the foreground.
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    assert process.wait(60) != 0
    lines = (tmp_path / "screen").read_text().splitlines()
    assert lines[-1] == "stopped; to go on from here, start the same command again"
    assert not [line for line in lines if "Traceback" in line or "failed" in line]


def test_a_second_run_of_the_same_results_is_told_so(two: dict[str, Any], tmp_path: Path) -> None:
    process = start_training(two, tmp_path)
    second = [
        *SNAKEMAKE,
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--cores",
        "1",
        "--configfile",
        "config.yaml",
    ]
    done = subprocess.run(second, cwd=tmp_path, capture_output=True, text=True, check=False)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "another run in this folder makes some of the same results"
    )
    assert "--unlock" not in done.stderr


def start_training(config: dict[str, Any], folder: Path) -> "subprocess.Popen[str]":
    """Start a workflow in a session of its own, and wait until it trains."""
    config["results"] = str(folder / "results")
    config["models"]["a"]["finetune"]["training"] = {"max_steps": 1000000, "logging_steps": 1}
    target = f"{config['results']}/models/a/SHA256SUMS"
    given = (target, "--cores", "1", "--configfile", write_config(folder / "config.yaml", config))
    with (folder / "screen").open("w") as screen:
        command = [*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), *given]
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=screen,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            # Tests that run in the background of a shell, and what they start, are deaf to Ctrl-C.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
    log = folder / "results/logs/finetune/a.log"
    while process.poll() is None and not (log.exists() and "INFO step" in log.read_text()):
        time.sleep(0.1)
    return process


def test_a_terminal_shows_what_is_at_work_and_an_error_once(two: dict[str, Any], tmp_path: Path) -> None:
    two["models"]["b"]["finetune"]["training"] = DIVERGES
    write_config(tmp_path / "config.yaml", two)
    command = [*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--cores", "2", "--keep-going"]
    status, text = run_on_terminal([*command, "--configfile", "config.yaml"], tmp_path)
    assert status == 1
    assert re.search(r"  finetune a +\d+ s", text)
    assert re.search(r"\d of 8 done, \d at work", text)
    assert re.search(rf"{TIME}  done  finetune a, .*\d+ s", text)
    assert text.count("finetune b: the loss") == 1
    assert "failed: finetune b; its log is results/logs/finetune/b.log" in text


def test_what_a_stage_says_before_its_log_opens_stays_on_a_terminal(
    two: dict[str, Any], tmp_path: Path
) -> None:
    write_config(tmp_path / "config.yaml", two)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/torch.py").write_text("raise ImportError('libcudart.so.12: cannot open it')")
    command = [*SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "broken"), str(ROOT)])}
    status, text = run_on_terminal([*command, "--configfile", "config.yaml"], tmp_path, path)
    assert status == 1
    lines = shown(text)
    assert "ImportError: libcudart.so.12: cannot open it" in lines
    assert "load base failed: it ended before it opened its log" in lines
    assert "failed: load base; it has no log" in lines
