"""The jobs of a run: which are at work and how far they have come, and how long the rest may take."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from kdpipe.durations import duration
from kdpipe.runner.progress import progress_file

# The width of a bar, and of the names of jobs where these are shorter.
BAR, NAMES = 16, 28


@dataclass(frozen=True)
class AtWork:
    """A job at work.

    Args:
        rule: its rule.
        name: its rule, and what it makes.
        began: when it began, in seconds.
        folder: the folder of its artifact.
    """

    rule: str
    name: str
    began: float
    folder: Path


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
        self.total = self._done = 0

    def expect(self, numbers: Mapping[str, int]) -> None:
        """Take over how many jobs of each rule there are."""
        self._left = Counter(numbers)
        self.total = self._left.total()

    def begin(self, number: int, rule: str, name: str, folder: Path) -> None:
        """Note that a job begins."""
        self._running[number] = AtWork(rule, name, time.time(), folder)

    def end(self, number: int) -> float:
        """Note that a job has ended, and return its seconds."""
        job = self._running.pop(number, None)
        if job is None:
            return 0.0
        seconds = time.time() - job.began
        self._seconds.setdefault(job.rule, []).append(seconds)
        self._left[job.rule] -= 1
        self._done += 1
        return seconds

    def lines(self) -> list[str]:
        """Return a line for each job at work, and a line for all jobs."""
        running = [*self._running.values()]
        if not running:
            return []
        names = max(NAMES, *(len(job.name) for job in running))
        rest = self._rest(running)
        told = f"; about {duration(round(rest))} left" if rest is not None else ""
        counts = f"{self._done} of {self.total} done, {len(running)} at work{told}"
        return [*(f"  {job.name:{names}}  {self._progress(job)}" for job in running), counts]

    def _progress(self, job: AtWork) -> str:
        """Return how far a job has come, in a line."""
        worked = duration(round(time.time() - job.began))
        try:
            told = json.loads(progress_file(job.folder, self._state).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return worked
        return f"{worked}  {progress_line(told)}".rstrip()

    def _rest(self, running: list[AtWork]) -> float | None:
        """Return the seconds that all that is left may take; None where no job has ended."""
        every = [seconds for each in self._seconds.values() for seconds in each]
        if not every:
            return None
        means = {rule: fmean(each) for rule, each in self._seconds.items()}
        whole = sum(number * means.get(rule, fmean(every)) for rule, number in self._left.items())
        worked = sum(min(time.time() - job.began, means.get(job.rule, fmean(every))) for job in running)
        return max(0.0, whole - worked) / len(running)


def progress_line(told: Mapping[str, Any]) -> str:
    """Return what a job tells of its progress: a bar, steps, rate and the time that is left."""
    done, total, unit = told["n"], told["total"], told["unit"]
    if not done:
        return ""
    rate = done / max(told["elapsed"], 1e-3)
    speed = f"{rate:.3g} {unit}s/s"
    if not total:
        return f"{done} {unit}s, {speed}"
    share = min(1.0, done / total)
    bar = "#" * round(share * BAR)
    left = duration(round(max(0, total - done) / rate))
    return f"[{bar:.<{BAR}}] {share:4.0%}  {done} of {total} {unit}s, {speed}, {left} left"
