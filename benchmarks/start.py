"""Time from the start of a stage to its first line, mostly of imports, beside the import of bare libraries.

    python benchmarks/start.py [--repeats N] [--json FILE]

Each start has a new process. Seconds are the least of the repeats, by the clock and of the processor.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.plan.stage import definition

TRAINING = ("pretrain", "finetune", "distill", "schedule")
BARE = {
    "a bare model": "from transformers import PreTrainedModel",
    "the bare Trainer": "from transformers import Trainer",
}
AT_MOST = {"a bare model": 5.0, "the bare Trainer": 7.0}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    results = [measure(what, ["-c", code], what, options.repeats) for what, code in BARE.items()]
    for stage in map(definition, catalog.STAGES):
        beside = "the bare Trainer" if stage.name in TRAINING else "a bare model"
        # The help of a stage comes after its imports, like the first line of its log.
        results.append(measure(stage.name, ["-m", stage.module, "--help"], beside, options.repeats))
    print(f"{'':18}{'clock s':>9}{'processor s':>13}{'at most s':>11}")
    for result in results:
        print("{what:18}{clock_s:9.2f}{processor_s:13.2f}{at_most_s:11.0f}".format(**result))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def measure(what: str, arguments: list[str], beside: str, repeats: int) -> dict[str, Any]:
    """Return the seconds of a start."""
    runs = [start(arguments) for _ in range(repeats)]
    clock, processor = (min(seconds) for seconds in zip(*runs, strict=True))
    return {"what": what, "clock_s": clock, "processor_s": processor, "at_most_s": AT_MOST[beside]}


def start(arguments: list[str]) -> tuple[float, float]:
    """Start Python once, and return the seconds by the clock and of the processor."""
    before, began = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    clock, after = time.perf_counter() - began, os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return clock, processor


if __name__ == "__main__":
    main()
