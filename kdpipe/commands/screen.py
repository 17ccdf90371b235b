"""The screen of a run: a line for each job that begins, ends or fails, and a summary at the end.

A terminal shows a line for each job that is at work instead of a line for its begin, and above these lines
what other processes write to it. Snakemake's own lines stand in its log, which the summary names if a job
failed. With Snakemake's options `--verbose`, `--quiet`, `--printshellcmds` and `--dry-run` they stand on the
screen instead; a dry run of `kdpipe run` has a line for each job.
"""

import logging
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from kdpipe.commands.diversion import Diversion, copy_of
from kdpipe.commands.failures import UNOPENED, last_line, logs_of, where
from kdpipe.commands.live import Live
from kdpipe.commands.work import Work
from kdpipe.durations import duration
from kdpipe.runner.progress import VARIABLE

# The variable that asks for a short list of the jobs of a dry run.
LISTED = "KDPIPE_LISTED"
# The rule that only names the targets of a run.
TARGET = "all"
# Messages of Snakemake when Ctrl-C or SIGTERM stops it, and the lines that replace them.
KILLED = "Terminating processes on user request"
STOPS = {
    KILLED: "stopping; trainings write a checkpoint first, unless you press Ctrl-C again",
    "Will exit after finishing currently running jobs": "stopping as soon as the running jobs have ended",
}
# Snakemake names a job by its number, and a group by the number of its last job.
AGAIN = re.compile(r"Trying to restart job (.+)\.")
# Locks that a killed run has left are removed at the start, so that somebody holds this lock.
LOCKED = (
    "another run in this folder makes some of the same results; wait until it has ended, or stop it, and "
    "start again"
)
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
        dry: whether jobs are listed and not run.
    """

    def __init__(
        self, report: Callable[[], str], state: Path, terminal: bool = False, dry: bool = False
    ) -> None:
        super().__init__()
        self._report, self._dry = report, dry
        self._jobs: dict[int, Any] = {}
        self._failed: dict[int, str] = {}
        # The names of jobs and groups, and how often each was tried again.
        self._names: dict[str, str] = {}
        self._tries = Counter[str]()
        self._stopped = False
        self._work = Work(state)
        self._live = self._diversion = None
        if terminal:
            os.environ[VARIABLE] = "1"
            self._live = Live(copy_of(sys.stderr), self._work.lines)
            self._diversion = Diversion(self._live.say)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a log record of Snakemake, or leave it to the log."""
        shows: Mapping[Any, Callable[[Any], str]] = {
            LogEvent.RUN_INFO: self._counts,
            LogEvent.GROUP_INFO: self._names_group,
            LogEvent.JOB_INFO: self._begins,
            LogEvent.JOB_FINISHED: self._ends,
            LogEvent.JOB_ERROR: self._fails,
            LogEvent.GROUP_ERROR: self._group_fails,
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
            # Other programs may read the list of a dry run.
            stream = sys.stdout if self._dry else sys.stderr
            stream.write(f"{line}\n")
            stream.flush()

    def close(self) -> None:
        """Leave nothing on the screen that would change."""
        if self._live and self._diversion:
            self._diversion.close()
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

    def _names_group(self, record: Any) -> str:
        name = " and ".join(sorted(" ".join([job.rule.name, *job.wildcards]) for job in record.jobs))
        self._names |= {job.uuid(): name for job in record.jobs}
        return ""

    def _begins(self, record: Any) -> str:
        if record.rule_name == TARGET:
            return ""
        if self._dry:
            return f"  {_name(record)}"
        self._jobs[record.jobid] = record
        self._names[str(record.jobid)] = _name(record)
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
        """Show the error of a job; the error of a group has told of the jobs in it."""
        if record.indent:
            return ""
        if record.jobid not in self._jobs:
            return str(record.getMessage())
        job = self._jobs[record.jobid]
        self._work.stop(record.jobid)
        return self._tell(job, [log for log in record.log if log not in job.log])

    def _group_fails(self, record: Any) -> str:
        """Show the error of a group: of its jobs that began and are not finished, or else of all of them."""
        jobs = [self._jobs[told["jobid"]] for told in record.job_error_info if told["jobid"] in self._jobs]
        for job in jobs:
            self._work.stop(job.jobid)
        left = [job for job in jobs if not all(map(os.path.exists, job.output))] or jobs
        began = [job for job in left if logs_of(job)]
        if began:
            return "\n".join(filter(None, (self._tell(job, record.aux_logs) for job in began)))
        if not left:
            return str(record.getMessage())
        names = " and ".join(map(_name, left))
        self._failed[left[0].jobid] = f"failed: {names}; {where(record.aux_logs)}"
        return "" if self._stopped else f"{names} failed: {UNOPENED}"

    def _tell(self, job: Any, others: Sequence[str]) -> str:
        """Return a line for a job that failed, or "" if its stage has shown the error.

        Args:
            job: the record of its begin.
            others: logs besides its own, such as the log of a cluster.
        """
        logs = logs_of(job)
        self._failed[job.jobid] = f"failed: {_name(job)}; {where(logs or others)}"
        last = last_line(logs)
        by_stage = last.startswith(f"{job.rule_name} ")
        # On a terminal whose last lines change no stage shows its errors.
        if self._stopped or (by_stage and job.local and not self._live):
            return ""
        last = last or ("it was ended, and its log says nothing" if logs else UNOPENED)
        return last if by_stage else f"{_name(job)} failed: {last}"

    def _again(self, job: str) -> str:
        """Show that a job, or a group, is tried again."""
        name = self._names.get(job, job)
        self._tries[name] += 1
        return f"{_now()}  again  {name}, try {self._tries[name] + 1}"

    def _others(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if line := next((line for start, line in STOPS.items() if message.startswith(start)), ""):
            # Snakemake repeats this message whenever a job ends.
            before, self._stopped = self._stopped, True
            if message.startswith(KILLED):
                # The jobs are told of a second Ctrl-C as well, and Snakemake would end in a traceback.
                with suppress(ValueError):
                    signal.signal(signal.SIGINT, signal.SIG_IGN)
            return "" if before else line
        if getattr(record, "exception", "") == "LockException":
            return LOCKED
        if found := AGAIN.fullmatch(message):
            return self._again(found[1])
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
    asked, dry = workflow.output_settings, os.environ.pop(LISTED, "")
    names = [handler.name for handler in logger.handlers]
    if asked.verbose or asked.quiet or asked.printshellcmds or asked.debug_dag or (asked.dryrun and not dry):
        return None
    if "DefaultStreamHandler" not in names:
        return None
    screen = Screen(report, state, sys.stderr.isatty() and not dry, bool(dry))
    logger.handlers[names.index("DefaultStreamHandler")] = screen
    return screen


def _now() -> str:
    return time.strftime("%H:%M:%S")


def _name(job: Any) -> str:
    return " ".join([job.rule_name, *job.wildcards.values()])
