"""Runs of the sides, each in an interpreter of its own, and the memory that each takes."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks.distillation.setting import BATCH_SIZE, EPOCHS

ROOT = Path(__file__).resolve().parents[2]
# Uncounted steps at the start, which warm caches and allocators.
WARM_UP = 5
SAMPLED_EVERY = 0.02
KDPIPE, TEXTBREWER = "kdpipe", "TextBrewer, padded "
SIDES = {
    KDPIPE: ("kdpipe_side", []),
    f"{TEXTBREWER}to 128": ("textbrewer_side", ["--padding", "max_length"]),
    f"{TEXTBREWER}per batch": ("textbrewer_side", ["--padding", "longest"]),
}

Outcome = dict[str, Any]
# Precision, name, more options.
Side = tuple[str, str, tuple[str, ...]]


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

    def in_turns(self, sides: Sequence[Side], rounds: int) -> dict[Side, Outcome]:
        """Train the sides in turns; add examples/s in the steady state, and over ten epochs with the cache.

        Args:
            sides: precision, name and more options of each.
            rounds: how often each side trains; the cache is written in the first round.
        """
        outcomes: dict[Side, list[Outcome]] = {side: [] for side in sides}
        for _, side in product(range(rounds), sides):
            precision, name, more = side
            module, extra = SIDES[name]
            outcomes[side].append(self.start(module, precision, [*extra, *more]))
        return {side: self._together(trained) for side, trained in outcomes.items()}

    def _together(self, rounds: Sequence[Outcome]) -> Outcome:
        """Return the outcome of a side over its rounds."""
        counted = [seconds for outcome in rounds for seconds in outcome["step_s"][WARM_UP:]]
        steady = BATCH_SIZE * len(counted) / sum(counted)
        total, first = EPOCHS * self.examples, rounds[0]
        return {
            **first,
            "steady": steady,
            "ten_epochs": total / (total / steady + first["cache_s"]),
            "peak_mb": max(outcome["peak_mb"] for outcome in rounds),
        }

    def start(self, module: str, precision: str, more: Sequence[str] = ()) -> Outcome:
        """Run a module of the sides in a new interpreter; return its output with the most memory it took."""
        places = {**self.folders, "cache": self.scratch / precision}
        arguments = [f"--{role}={place}" for role, place in places.items()]
        arguments += [f"--recipe={self.recipe}", f"--steps={self.steps}", *more]
        arguments += ["--bf16"] if precision == "bfloat16" else []
        command = [sys.executable, "-m", f"benchmarks.distillation.{module}", *arguments]
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
