"""The screen shows records of Snakemake that no run of a workflow in these tests gives."""

import logging
import os
import time
from pathlib import Path
from types import SimpleNamespace
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


def fail(screen: Screen, number: int, folder: Path = Path(), rule: str = "finetune") -> None:
    facts = {"jobid": number, "indent": False, "log": [str(folder / f"{rule}.log")]}
    screen.emit(record(LogEvent.JOB_ERROR, logging.ERROR, **facts))


def fail_as_group(screen: Screen, numbers: range, aux_logs: list[str]) -> None:
    """Let jobs fail as `GroupJob.log_error` tells it: the group, then each of its jobs."""
    told = [{"jobid": number} for number in numbers]
    screen.emit(record(LogEvent.GROUP_ERROR, logging.ERROR, job_error_info=told, aux_logs=aux_logs))
    for number in numbers:
        screen.emit(record(LogEvent.JOB_ERROR, logging.ERROR, jobid=number, indent=True, log=[]))


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
    fail_as_group(screen, range(3), ["slurm.log"])
    assert capsys.readouterr().err == "finetune m: the loss is nan\n"
    log = tmp_path / "finetune.log"
    assert screen.last_words(["snakemake.log"]) == [
        f"failed: finetune m; its log is {log}",
        "Snakemake's log is snakemake.log",
    ]


def test_of_a_group_that_opened_no_log_all_jobs_and_the_cluster_s_log_are_told(
    screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, rule in enumerate(("load", "finetune", "evaluate")):
        begin(screen, tmp_path, number, rule)
    (tmp_path / "load").touch()
    capsys.readouterr()
    fail_as_group(screen, range(3), ["slurm.log"])
    assert capsys.readouterr().err == "finetune m and evaluate m failed: it ended before it opened its log\n"
    assert screen.last_words([]) == ["failed: finetune m and evaluate m; its log is slurm.log"]


class Member:
    """What the screen reads of a job of a group."""

    def __init__(self, rule: str) -> None:
        self.rule = SimpleNamespace(name=rule)
        self.wildcards = ["m"]

    def uuid(self) -> str:
        return f"uuid-of-{self.rule.name}"


def test_jobs_and_groups_that_are_tried_again_are_told(
    screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = {Member("finetune"), Member("evaluate")}
    screen.emit(record(LogEvent.GROUP_INFO, group_id="g", jobs=members))
    begin(screen, tmp_path, 7, "load")
    capsys.readouterr()
    for job in ("7", "uuid-of-evaluate", "7"):
        screen.emit(record(msg=f"Trying to restart job {job}."))
    assert [line.split("  ", 1)[1] for line in capsys.readouterr().err.splitlines()] == [
        "again  load m, try 2",
        "again  evaluate m and finetune m, try 2",
        "again  load m, try 3",
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
    (tmp_path / "finetune.log").write_text(f"{MARK}\n")
    fail(screen, 1, tmp_path)
    assert capsys.readouterr().err == (
        "finetune m failed: it ended before it opened its log\nError in rule\n"
        "finetune m failed: it was ended, and its log says nothing\n"
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
