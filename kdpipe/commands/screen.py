"""The screen of a run: a line for each job that begins, and a summary at the end.

Snakemake's own lines stand in its log, which the summary names if a job failed. With Snakemake's options
`--verbose`, `--quiet`, `--printshellcmds` and `--dry-run` they stand on the screen instead.
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

# The rule that only names the targets of a run.
TARGET = "all"
# The number of bytes at the end of a log that are searched for its last line.
LAST = 10_000
# Seconds by which the clocks of two machines may differ.
CLOCKS = 60
# Messages of Snakemake when Ctrl-C or SIGTERM stops it, and the lines that replace them.
STOPS = {
    "Terminating processes on user request": "stopping; trainings write a checkpoint first",
    "Will exit after finishing currently running jobs": "stopping as soon as the running jobs have ended",
}
# Executors tell of the jobs of a cluster, such as their numbers there.
EXECUTOR = "snakemake_executor_plugin_"
# Messages of Snakemake about any failed job; the screen has a line for each failed job instead.
FAILED = (
    "CalledProcessError",
    "Exiting because a job execution failed",
    "At least one job did not complete successfully",
    "--keep-incomplete mode",
)


class Screen(logging.Handler):
    """A handler of log records in place of Snakemake's handler for the screen.

    Args:
        report: returns a line with the place of the report, or "" without a report.
    """

    def __init__(self, report: Callable[[], str]) -> None:
        super().__init__()
        self._report = report
        self._jobs: dict[int, Any] = {}
        self._failed: dict[int, str] = {}
        self._total = 0
        self._stopped = False

    def emit(self, record: logging.LogRecord) -> None:
        """Show a log record of Snakemake, or leave it to the log."""
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
        """Return the last lines of a run: a line for each failed job, or the way to go on after a stop.

        Args:
            logs: the logs of Snakemake.
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
        """Show the error of a job, unless its stage has shown it on this screen."""
        if record.jobid not in self._jobs:
            return str(record.getMessage())
        job = self._jobs[record.jobid]
        files = filter(Path.is_file, map(Path, job.log))
        logs = [log for log in files if log.stat().st_mtime > job.created - CLOCKS]
        # Snakemake names all jobs of a group that failed, even jobs that are finished or never began.
        if record.indent and (not logs or all(Path(output).exists() for output in job.output)):
            return ""
        self._failed[record.jobid] = f"failed: {_name(job)}; its log is {', '.join(job.log)}"
        last = next((line for log in reversed(logs) for line in reversed(_lines(log))), "")
        by_stage = last.startswith(f"{job.rule_name} ")
        if self._stopped or (by_stage and job.local):
            return ""
        last = last or "it was ended, and its log says nothing"
        return last if by_stage else f"{_name(job)} failed: {last}"

    def _others(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if line := next((line for start, line in STOPS.items() if message.startswith(start)), ""):
            # Snakemake repeats this message whenever a job ends.
            before, self._stopped = self._stopped, True
            return "" if before else line
        if message == NOTHING_TO_BE_DONE_MSG:
            return "; ".join(["Nothing to be done", *filter(None, [self._report()])])
        shown = record.levelno >= logging.WARNING or EXECUTOR in record.pathname
        return "" if not shown or any(words in message for words in FAILED) else message


def take_screen(workflow: Any, report: Callable[[], str]) -> Screen | None:
    """Replace Snakemake's screen, unless an option of the user asks for its lines.

    Args:
        workflow: Snakemake's workflow.
        report: returns a line with the place of the report, or "" without a report.
    """
    asked = workflow.output_settings
    names = [handler.name for handler in logger.handlers]
    if asked.verbose or asked.dryrun or asked.quiet or asked.printshellcmds or asked.debug_dag:
        return None
    if "DefaultStreamHandler" not in names:
        return None
    screen = Screen(report)
    logger.handlers[names.index("DefaultStreamHandler")] = screen
    return screen


def _name(job: Any) -> str:
    return " ".join([job.rule_name, *job.wildcards.values()])


def _lines(log: Path) -> list[str]:
    """Return the last lines of a log, but not its first line, which marks every log."""
    with log.open("rb") as stream:
        stream.readline()
        stream.seek(max(stream.tell(), log.stat().st_size - LAST))
        return [line for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
