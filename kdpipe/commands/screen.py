"""What a run shows on the screen: a line for each job that begins, and what has become of it all.

Snakemake's own lines stand in its log, which is named where something failed; with its options `--verbose`,
`--quiet`, `--printshellcmds` and `--dry-run` they stand on the screen, in place of these.
"""

import logging
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

# The rule that only names what is to be made.
TARGET = "all"
# Bytes of a log that its last line is looked for in, and seconds by which clocks may differ.
LAST, CLOCKS = 10_000, 60
# What Snakemake says when it is stopped, by Ctrl-C or by SIGTERM, and what is shown instead.
STOPS = {
    "Terminating processes on user request": "stopping; trainings write a checkpoint first",
    "Will exit after finishing currently running jobs": "stopping as soon as the running jobs have ended",
}
# What is said of the jobs of a cluster, such as their numbers there.
EXECUTOR = "snakemake_executor_plugin_"
# What Snakemake says of any job that failed: each has a line of its own.
FAILED = (
    "CalledProcessError",
    "Exiting because a job execution failed",
    "At least one job did not complete successfully",
    "--keep-incomplete mode",
)


class Screen(logging.Handler):
    """Takes the place of Snakemake's handler of log records for the screen.

    Args:
        report: says where the report is, or "" where there is none.
    """

    def __init__(self, report: Callable[[], str]) -> None:
        super().__init__()
        self._report = report
        self._jobs: dict[int, Any] = {}
        self._failed: dict[int, str] = {}
        self._total = 0
        self._stopped = False

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record of Snakemake's, or leave it to the log."""
        shows: Mapping[Any, Callable[[Any], str]] = {
            LogEvent.RUN_INFO: self._counts,
            LogEvent.JOB_INFO: self._begins,
            LogEvent.JOB_FINISHED: self._ends,
            LogEvent.JOB_ERROR: self._fails,
        }
        if line := shows.get(getattr(record, "event", None), self._others)(record):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def last_words(self, logs: Collection[str]) -> list[str]:
        """Return what to say when all is over: a line for each job that failed, or how to go on after a stop.

        Args:
            logs: files with what Snakemake said.
        """
        if self._stopped:
            return ["stopped; to go on from here, start the same command again"]
        return [*self._failed.values(), *(f"Snakemake's log is {log}" for log in logs if self._failed)]

    def _counts(self, record: Any) -> str:
        self._total = record.stats["total"] - record.stats.get(TARGET, 0)
        return f"{self._total} jobs to run"

    def _begins(self, record: Any) -> str:
        if record.rule_name == TARGET:
            return ""
        self._jobs.setdefault(record.jobid, record)
        return f"{time.strftime('%H:%M:%S')}  {len(self._jobs)} of {self._total}  {_name(record)}"

    def _ends(self, record: Any) -> str:
        self._failed.pop(record.job_id, None)
        return ""

    def _fails(self, record: Any) -> str:
        """Show what a job failed for, unless its stage said so on this screen."""
        if record.jobid not in self._jobs:
            return str(record.getMessage())
        job = self._jobs[record.jobid]
        logs = [log for log in job.log if _is_newer(log, job.created)]
        # Of a group that failed Snakemake names all jobs, also finished ones and those that never began.
        if record.indent and (not logs or all(Path(output).exists() for output in job.output)):
            return ""
        self._failed[record.jobid] = f"failed: {_name(job)}; its log is {', '.join(job.log)}"
        said = _last_line(logs)
        by_stage = said.startswith(f"{job.rule_name} ")
        if self._stopped or (by_stage and job.local):
            return ""
        return (
            said if by_stage else f"{_name(job)} failed: {said or 'it was ended, and its log says nothing'}"
        )

    def _others(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if stops := next((told for begin, told in STOPS.items() if message.startswith(begin)), ""):
            # Snakemake says it again whenever a job ends.
            before, self._stopped = self._stopped, True
            return "" if before else stops
        if message == NOTHING_TO_BE_DONE_MSG:
            return "; ".join(["Nothing to be done", *filter(None, [self._report()])])
        told = record.levelno >= logging.WARNING or EXECUTOR in record.pathname
        return "" if not told or any(words in message for words in FAILED) else message


def take_screen(workflow: Any, report: Callable[[], str]) -> Screen | None:
    """Put a screen in the place of Snakemake's, unless the user wants to see what Snakemake says.

    Args:
        workflow: Snakemake's workflow.
        report: says where the report is, or "" where there is none.
    """
    wanted = workflow.output_settings
    said = (wanted.verbose, wanted.dryrun, wanted.quiet, wanted.printshellcmds, wanted.debug_dag)
    usual = [handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"]
    if any(said) or not usual:
        return None
    screen = Screen(report)
    logger.handlers[logger.handlers.index(usual[0])] = screen
    return screen


def _name(job: Any) -> str:
    return " ".join([job.rule_name, *job.wildcards.values()])


def _is_newer(log: str, time: float) -> bool:
    """Tell whether a log was written since a time, up to the difference of two machines' clocks."""
    return Path(log).is_file() and Path(log).stat().st_mtime > time - CLOCKS


def _last_line(logs: Collection[str]) -> str:
    found = [line for log in logs for line in _lines(Path(log))]
    return found[-1] if found else ""


def _lines(log: Path) -> list[str]:
    """Return the last lines of a log, but not the first line of all, by which logs are known."""
    with log.open("rb") as stream:
        stream.readline()
        stream.seek(max(stream.tell(), log.stat().st_size - LAST))
        return [line for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
