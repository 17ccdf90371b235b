"""The jobs of a run: which are at work and how far they have come, and how long the rest may take."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from threading import RLock
from typing import Any

from kdpipe.durations import duration
from kdpipe.runner.progress import progress_file

# The width of a bar.
BAR = 16


@dataclass(frozen=True)
class AtWork:
    """A job at work.

    Args:
        rule: its rule.
        name: its rule, and what it makes.
        began: when it began, in seconds.
        folder: the folder of its artifact; None for a job that makes none.
        local: whether it runs on this machine; a cluster begins other jobs later.
    """

    rule: str
    name: str
    began: float
    folder: Path | None
    local: bool


class Work:
    """The jobs of a run.

    Args:
        state: the folder of state, where jobs tell how far they have come.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._left = Counter[str]()
        self._seconds: dict[str, list[float]] = {}
        self._running: dict[int, AtWork] = {}
        self._done: set[int] = set()
        # The lines are drawn by another thread.
        self._lock = RLock()
        self.total = 0

    def expect(self, numbers: Mapping[str, int]) -> None:
        """Take over how many jobs of each rule there are."""
        self._left = Counter(numbers)
        self.total = self._left.total()

    def begin(self, number: int, rule: str, name: str, folder: Path | None, local: bool = True) -> None:
        """Note that a job begins."""
        with self._lock:
            self._running[number] = AtWork(rule, name, time.time(), folder, local)

    def stop(self, number: int) -> None:
        """Note that a job has failed; it may begin again."""
        with self._lock:
            self._running.pop(number, None)

    def end(self, number: int) -> float:
        """Note that a job has ended, and return its seconds."""
        with self._lock:
            job = self._running.pop(number, None)
            if job is None:
                return 0.0
            seconds = time.time() - job.began
            self._seconds.setdefault(job.rule, []).append(seconds)
            self._left[job.rule] -= number not in self._done
            self._done.add(number)
            return seconds

    def lines(self) -> list[str]:
        """Return a line for each job at work, and a line for all jobs."""
        with self._lock:
            running = [*self._running.values()]
            rest = self._rest(running)
        if not running:
            return []
        names = max(len(job.name) for job in running)
        told = f"; about {duration(round(rest))} left" if rest is not None else ""
        counts = f"{len(self._done)} of {self.total} done, {len(running)} at work{told}"
        return [*(f"  {job.name:{names}}  {self._progress(job)}" for job in running), counts]

    def _progress(self, job: AtWork) -> str:
        """Return how far a job has come, in a line."""
        worked = duration(round(time.time() - job.began))
        try:
            return f"{worked}  {progress_line(self._told(job))}".rstrip()
        except (OSError, ValueError, KeyError, TypeError):
            return worked

    def _told(self, job: AtWork) -> dict[str, Any]:
        """Return what a job tells of its progress; a stage that was killed leaves its file."""
        if job.folder is None:
            raise ValueError(f"{job.name} makes no artifact")
        file = progress_file(job.folder, self._state)
        if file.stat().st_mtime < job.began:
            raise ValueError(f"{file} is older than the job")
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return told

    def _rest(self, running: list[AtWork]) -> float | None:
        """Return the seconds that all jobs may take from now on; None while nothing is known of any job.

        A job takes as long as the jobs of its rule so far; of a rule without any, as long as the mean job.
        """
        # A cluster begins jobs when it has room for them.
        if not running or not all(job.local for job in running):
            return None
        lasts = {job: self._lasts(job) for job in running}
        known = [seconds for each in self._seconds.values() for seconds in each]
        known += [seconds for seconds in lasts.values() if seconds]
        if not known:
            return None
        means = {rule: fmean(self._seconds.get(rule) or known) for rule in self._left}
        waiting = self._left - Counter(job.rule for job in running)
        whole = sum(number * means[rule] for rule, number in waiting.items())
        now = time.time()
        whole += sum(max(0.0, job.began + (lasts[job] or means[job.rule]) - now) for job in running)
        return whole / len(running)

    def _lasts(self, job: AtWork) -> float | None:
        """Return the seconds that a job at work may take, by what it tells; None where it tells nothing."""
        try:
            told = self._told(job)
            left = (told["total"] - told["n"]) * told["elapsed"] / (told["n"] - told["initial"])
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
            return None
        return float(time.time() - job.began + left)


def progress_line(told: Mapping[str, Any]) -> str:
    """Return what a job tells of its progress: its share, the time that is left, steps, rate and a bar.

    A narrow terminal cuts off the end.
    """
    done, total, unit = told["n"], told["total"], told["unit"]
    # A training that goes on has not made its first steps now.
    made = done - told["initial"]
    if made <= 0:
        return ""
    rate = made / max(told["elapsed"], 1e-3)
    speed = f"{rate:,.0f} {unit}s/s" if rate >= 100 else f"{rate:.2g} {unit}s/s"
    if not total:
        return f"{done} {unit}s, {speed}"
    share = min(1.0, done / total)
    bar = "#" * round(share * BAR)
    left = duration(round(max(0, total - done) / rate))
    return f"{share:4.0%}  {left} left, {done} of {total} {unit}s, {speed}  [{bar:.<{BAR}}]"
