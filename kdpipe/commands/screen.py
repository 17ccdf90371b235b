"""The screen of a run: a line for each job that begins, ends or fails, and a summary at the end.

A terminal shows a line for each job that is at work instead of a line for its begin. Snakemake's own lines
stand in its log, which the summary names if a job failed. With Snakemake's options `--verbose`, `--quiet`,
`--printshellcmds` and `--dry-run` they stand on the screen instead.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from kdpipe.commands.live import Live
from kdpipe.commands.work import Work
from kdpipe.durations import duration
from kdpipe.runner.progress import VARIABLE

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
        state: the folder of state, where jobs tell how far they have come.
        terminal: whether lines may change.
    """

    def __init__(self, report: Callable[[], str], state: Path, terminal: bool = False) -> None:
        super().__init__()
        self._report = report
        self._jobs: dict[int, Any] = {}
        self._failed: dict[int, str] = {}
        self._stopped = False
        self._work = Work(state)
        self._live = Live(sys.stderr, self._work.lines) if terminal else None
        if terminal:
            os.environ[VARIABLE] = "1"

    def emit(self, record: logging.LogRecord) -> None:
        """Show a log record of Snakemake, or leave it to the log."""
        shows: Mapping[Any, Callable[[Any], str]] = {
            LogEvent.RUN_INFO: self._counts,
            LogEvent.JOB_INFO: self._begins,
            LogEvent.JOB_FINISHED: self._ends,
            LogEvent.JOB_ERROR: self._fails,
        }
        try:
            if line := shows.get(getattr(record, "event", None), self._others)(record):
                self._say(line)
        except Exception:
            # What the screen shows must not stop a run.
            self.handleError(record)

    def _say(self, line: str) -> None:
        if self._live:
            self._live.say(line)
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Leave nothing on the screen that would change."""
        if self._live:
            self._live.close()
            os.environ.pop(VARIABLE, None)
        super().close()

    def last_words(self, logs: Collection[str]) -> list[str]:
        """Return the last lines of a run: a line for each failed job, or the way to go on after a stop.

        Args:
            logs: the logs of Snakemake.
        """
        self.close()
        if self._stopped:
            return ["stopped; to go on from here, start the same command again"]
        return [*self._failed.values(), *(f"Snakemake's log is {log}" for log in logs if self._failed)]

    def _counts(self, record: Any) -> str:
        self._work.expect({rule: n for rule, n in record.stats.items() if rule not in (TARGET, "total")})
        return f"{self._work.total} jobs to run"

    def _begins(self, record: Any) -> str:
        if record.rule_name == TARGET:
            return ""
        self._jobs.setdefault(record.jobid, record)
        folder = Path(record.output[0]).parent if record.output else None
        self._work.begin(record.jobid, record.rule_name, _name(record), folder, bool(record.local))
        if self._live:
            return ""
        return f"{_now()}  {len(self._jobs)} of {self._work.total}  {_name(record)}"

    def _ends(self, record: Any) -> str:
        self._failed.pop(record.job_id, None)
        if record.job_id not in self._jobs:
            return ""
        seconds = self._work.end(record.job_id)
        return f"{_now()}  done  {_name(self._jobs[record.job_id])}, {duration(round(seconds))}"

    def _fails(self, record: Any) -> str:
        """Show the error of a job, unless its stage has shown the error; on a terminal no stage does."""
        if record.jobid not in self._jobs:
            return str(record.getMessage())
        job = self._jobs[record.jobid]
        files = filter(Path.is_file, map(Path, job.log))
        logs = [log for log in files if log.stat().st_mtime > job.created - CLOCKS]
        # Snakemake names all jobs of a group that failed, even jobs that are finished or never began.
        if record.indent and (not logs or all(Path(output).exists() for output in job.output)):
            return ""
        self._work.stop(record.jobid)
        self._failed[record.jobid] = f"failed: {_name(job)}; its log is {', '.join(job.log)}"
        last = next((line for log in reversed(logs) for line in reversed(_lines(log))), "")
        by_stage = last.startswith(f"{job.rule_name} ")
        if self._stopped or (by_stage and job.local and not self._live):
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


def take_screen(workflow: Any, report: Callable[[], str], state: Path) -> Screen | None:
    """Replace Snakemake's screen, unless an option of the user asks for its lines.

    Args:
        workflow: Snakemake's workflow.
        report: returns a line with the place of the report, or "" without a report.
        state: the folder of state, where jobs tell how far they have come.
    """
    asked = workflow.output_settings
    names = [handler.name for handler in logger.handlers]
    if asked.verbose or asked.dryrun or asked.quiet or asked.printshellcmds or asked.debug_dag:
        return None
    if "DefaultStreamHandler" not in names:
        return None
    screen = Screen(report, state, sys.stderr.isatty())
    logger.handlers[names.index("DefaultStreamHandler")] = screen
    return screen


def _now() -> str:
    return time.strftime("%H:%M:%S")


def _name(job: Any) -> str:
    return " ".join([job.rule_name, *job.wildcards.values()])


def _lines(log: Path) -> list[str]:
    """Return the last lines of a log, but not its first line, which marks every log."""
    with log.open("rb") as stream:
        stream.readline()
        stream.seek(max(stream.tell(), log.stat().st_size - LAST))
        return [line for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
