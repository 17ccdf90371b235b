"""The cost of checkpoints to a training, at their default interval.

    python benchmarks/checkpoints.py [--data DIR] [--steps N] [--json FILE]

Models of the sizes of 6-layer MiniLM and of BERT-base are trained for some steps, without checkpoints and
with a checkpoint after every step. The added seconds are divided by the interval. The default data is that of
the default run. Checkpoints go to the folder for temporary files.
"""

import argparse
import json
import math
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from transformers import BertConfig, BertForSequenceClassification

from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import head_of, task_of
from kdpipe.training.objective import Objective
from kdpipe.training.run import train
from kdpipe.training.terms import hard_term

SIZES = {
    "MiniLM": {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536},
    "BERT-base": {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072},
}
TARGET = 0.03


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("results/default/data/packages/base"))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    results = [measure(name, options) for name in SIZES]
    print(f"{'':12}{'parameters':>14}{'s a checkpoint':>16}{'of the time':>13}{'at most':>9}")
    for result in results:
        print(
            "{model:12}{parameters:14,}{checkpoint_s:16.2f}{share:13.2%}".format(**result), f"{TARGET:8.0%}"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds that a checkpoint adds to a step, and their share of the interval."""
    bare, _ = timed(name, options, math.inf)
    seconds, model = timed(name, options, 0.0)
    added = (seconds - bare) / (options.steps - 1)
    return {
        "model": name,
        "parameters": model.num_parameters(),
        "checkpoint_s": added,
        "share": added / (Checkpoints.interval + added),
    }


def timed(name: str, options: argparse.Namespace, interval: float) -> tuple[float, Any]:
    """Return the median seconds of 3 trainings with checkpoints at an interval, and the trained model."""
    task, head = task_of(options.data), head_of(options.data)
    split = EncodedSplit(options.data, "train")
    sizes: dict[str, Any] = {**SIZES[name], "num_labels": len(head.labels or ())}
    model = BertForSequenceClassification(BertConfig(**sizes))
    arguments = {"max_steps": options.steps, "per_device_train_batch_size": 2, "bf16": False}
    seconds = []
    for _ in range(3):
        with TemporaryDirectory() as folder:
            start = time.perf_counter()
            objective = Objective([hard_term(task)], task.kind)
            train(
                model,
                objective,
                Collator(split, pad_id=0),
                arguments,
                seed=1,
                checkpoints=Checkpoints(Path(folder), interval),
            )
            seconds.append(time.perf_counter() - start)
    return median(seconds), model


if __name__ == "__main__":
    main()
