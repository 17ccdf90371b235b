"""Runs of the sides, each in an interpreter of its own, and the memory that each takes."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped]

from benchmarks.distillation.setting import BATCH_SIZE, EPOCHS

ROOT = Path(__file__).resolve().parents[2]
# Uncounted steps at the start, which warm caches and allocators.
WARM_UP = 5
SAMPLED_EVERY = 0.02
KDPIPE, TEXTBREWER = "kdpipe", "TextBrewer, padded "
Outcome = dict[str, Any]


class Side(NamedTuple):
    """A program of this folder, and how it runs."""

    module: str
    options: tuple[str, ...]
    precision: str


def trainings(precision: str) -> dict[str, Side]:
    """Return the sides that train, by name."""
    theirs = {"to 128": "max_length", "per batch": "longest"}
    return {KDPIPE: Side("kdpipe_side", (), precision)} | {
        f"{TEXTBREWER}{name}": Side("textbrewer_side", ("--padding", padding), precision)
        for name, padding in theirs.items()
    }


@dataclass(frozen=True)
class Runs:
    """What the runs of a recipe share.

    Args:
        folders: teacher, student and data.
        examples: number of examples of an epoch.
        steps: number of steps of a run.
        recipe: name of the recipe.
        scratch: folder for the caches.
    """

    folders: Mapping[str, Path]
    examples: int
    steps: int
    recipe: str
    scratch: Path

    def in_turns(self, sides: Sequence[Side], rounds: int) -> dict[Side, list[Outcome]]:
        """Run the sides in turns, and return the outcomes of each; every round writes its own caches."""
        outcomes: dict[Side, list[Outcome]] = {side: [] for side in sides}
        for _ in range(rounds):
            with TemporaryDirectory(dir=self.scratch) as caches:
                for side in sides:
                    outcomes[side].append(self.start(side, Path(caches) / side.precision))
        return outcomes

    def together(self, rounds: Sequence[Outcome]) -> Outcome:
        """Return the outcome of a side, with its steady examples/s, and over ten epochs with the cache."""
        counted = [seconds for outcome in rounds for seconds in outcome["step_s"][WARM_UP:]]
        steady = BATCH_SIZE * len(counted) / sum(counted)
        total, cache_seconds = EPOCHS * self.examples, median(outcome["cache_s"] for outcome in rounds)
        return {
            **rounds[0],
            "cache_s": cache_seconds,
            "steady": steady,
            "ten_epochs": total / (total / steady + cache_seconds),
            "peak_mb": max(outcome["peak_mb"] for outcome in rounds),
        }

    def start(self, side: Side, cache: Path) -> Outcome:
        """Run a side in a new interpreter; return its output with the most memory it took."""
        places = {**self.folders, "cache": cache}
        arguments = [f"--{role}={place}" for role, place in places.items()]
        arguments += [f"--recipe={self.recipe}", f"--steps={self.steps}", *side.options]
        arguments += ["--bf16"] if side.precision == "bfloat16" else []
        command = [sys.executable, "-m", f"benchmarks.distillation.{side.module}", *arguments]
        with (self.scratch / "log").open("w+") as log:
            streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": log, "text": True}
            with subprocess.Popen(command, cwd=ROOT, **streams) as child:
                peaks: list[int] = []
                watcher = threading.Thread(target=watch, args=(child, peaks))
                watcher.start()
                output, _ = child.communicate()
                watcher.join()
            if child.returncode:
                log.seek(0)
                raise SystemExit(log.read())
        outcome: Outcome = json.loads(output.splitlines()[-1])
        return {**outcome, "peak_mb": outcome.get("gpu_mb") or max(peaks, default=0) / 1e6}


def watch(child: "subprocess.Popen[str]", peaks: list[int]) -> None:
    """Note the private memory of a process until it ends, which is without the pages of mapped files."""
    while child.poll() is None:
        try:
            memory = psutil.Process(child.pid).memory_info()
        except psutil.NoSuchProcess:
            return
        peaks.append(memory.rss - memory.shared)
        time.sleep(SAMPLED_EVERY)
