"""The screen shows records of Snakemake that no run of a workflow in these tests gives."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from kdpipe.commands.screen import Screen
from kdpipe.runner.logs import MARK

PLUGIN = "/env/snakemake_executor_plugin_slurm/__init__.py"


@pytest.fixture
def screen() -> Screen:
    return Screen(lambda: "", Path("state"))


def record(event: LogEvent | None = None, level: int = logging.INFO, **facts: Any) -> logging.LogRecord:
    made = logging.makeLogRecord({"levelno": level, "msg": "Error in rule", "event": event, **facts})
    made.created = facts.get("created", time.time())
    return made


def begin(screen: Screen, folder: Path, number: int, rule: str, local: bool = False) -> None:
    """Begin a job with its log and its output in a folder."""
    facts = {"rule_name": rule, "wildcards": {"model": "m"}, "local": local}
    places = {"log": [str(folder / f"{rule}.log")], "output": [str(folder / rule)]}
    screen.emit(record(LogEvent.JOB_INFO, jobid=number, **facts, **places))


def fail(screen: Screen, number: int, grouped: bool = False) -> None:
    screen.emit(record(LogEvent.JOB_ERROR, logging.ERROR, jobid=number, indent=grouped))


def test_of_a_group_the_job_that_failed_is_told(
    screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Snakemake names all its jobs, and the stages have spoken on another machine."""
    for number, rule in enumerate(("load", "finetune", "evaluate")):
        begin(screen, tmp_path, number, rule)
    (tmp_path / "load").touch()
    for rule in ("load", "finetune"):
        (tmp_path / f"{rule}.log").write_text(f"{MARK}\nat work\n{rule} m: the loss is nan\n\n")
    # An earlier run has left it.
    (tmp_path / "evaluate.log").write_text(f"{MARK}\nevaluate m: no such split\n")
    os.utime(tmp_path / "evaluate.log", (0, 0))
    capsys.readouterr()
    for number in range(3):
        fail(screen, number, grouped=True)
    assert capsys.readouterr().err == "finetune m: the loss is nan\n"
    log = tmp_path / "finetune.log"
    assert screen.last_words(["snakemake.log"]) == [
        f"failed: finetune m; its log is {log}",
        "Snakemake's log is snakemake.log",
    ]


def test_a_stage_of_this_machine_has_said_it_itself(
    screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(screen, tmp_path, 1, "finetune", local=True)
    (tmp_path / "finetune.log").write_text(f"{MARK}\nfinetune m: the loss is nan\n")
    capsys.readouterr()
    fail(screen, 1)
    assert capsys.readouterr().err == ""


def test_what_is_done_again_has_not_failed(screen: Screen, tmp_path: Path) -> None:
    begin(screen, tmp_path, 1, "finetune")
    fail(screen, 1)
    screen.emit(record(LogEvent.JOB_FINISHED, job_id=1))
    assert screen.last_words(["snakemake.log"]) == []


def test_a_job_that_ended_before_its_log(
    screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(screen, tmp_path, 1, "finetune")
    capsys.readouterr()
    fail(screen, 1)
    fail(screen, 2)
    assert capsys.readouterr().err == (
        "finetune m failed: it was ended, and its log says nothing\nError in rule\n"
    )


def test_a_stop_by_sigterm_is_told_once_and_how_to_go_on(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        screen.emit(record(msg="Will exit after finishing currently running jobs (scheduler)."))
    assert capsys.readouterr().err == "stopping as soon as the running jobs have ended\n"
    assert screen.last_words([]) == ["stopped; to go on from here, start the same command again"]


@pytest.mark.parametrize(("facts", "shown"), [
    ({"msg": "Select jobs to execute..."}, ""),
    ({"msg": "Job 1 has been submitted", "pathname": PLUGIN}, "Job 1 has been submitted\n"),
    ({"msg": "no space left", "level": logging.ERROR}, "no space left\n"),
    ({"msg": "CalledProcessError in file x", "level": logging.ERROR}, ""),
])  # fmt: skip
def test_what_else_snakemake_says(
    screen: Screen, capsys: pytest.CaptureFixture[str], facts: dict[str, Any], shown: str
) -> None:
    screen.emit(record(**facts))
    assert capsys.readouterr().err == shown
