"""The shared parts of `benchmarks/distill.py`'s sides: recipes, hyperparameters, command line, output."""

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import score
from kdpipe.models.loading import load_tokenizer

BATCH_SIZE = 32
EPOCHS = 10
LEARNING_RATE = 1e-4
MAX_GRAD_NORM = 1.0
TEMPERATURE = 2.0
MAX_LENGTH = 128
SEED = 1
# Losses on intermediate signals, beside soft cross-entropy. TextBrewer and kdpipe give them the same names.
RECIPES = {"four": ("hidden_mse",), "eight": ("hidden_mse", "mmd"), "attention": ("attention_mse",)}
# Pairs of hidden states: embeddings and three blocks of a 6-layer teacher, and of a 3-layer student.
STATES = [(0, 0), (2, 1), (4, 2), (6, 3)]
PAIRS = {"hidden_mse": STATES, "mmd": STATES, "attention_mse": STATES[1:]}


@dataclass
class Clock:
    """The times at which steps end. kdpipe uses it as a progress bar, TextBrewer at the end of a batch.

    Args:
        ends: seconds by the monotonic clock; the first entry is the beginning.
    """

    ends: list[float] = field(default_factory=list)

    def update(self, _: int = 1) -> None:
        """Note the end of a step, which on a GPU has not ended when its last kernel is queued."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def reset(self, total: int) -> None:
        """Note the beginning."""
        del total
        self.ends = []
        self.update()

    def set_postfix(self, **_: Any) -> None:
        """Show nothing."""

    def seconds(self) -> list[float]:
        """Return the seconds of each step."""
        return [end - start for start, end in zip(self.ends, self.ends[1:], strict=False)]


def parse_arguments() -> argparse.Namespace:
    """Read the command line of a side."""
    parser = argparse.ArgumentParser()
    for name in ("teacher", "student", "data", "cache"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--recipe", choices=RECIPES, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--padding", choices=["max_length", "longest"])
    parser.add_argument("--in-memory", action="store_true", help="read the cache from memory")
    return parser.parse_args()


def report(model: Any, options: argparse.Namespace, **numbers: Any) -> None:
    """Score the student on the validation split, in float32, and print the outcome as JSON."""
    gpu_mb = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else None
    model.train(False)
    tokenizer = load_tokenizer(options.student)
    outcome = score(model, tokenizer, EncodedSplit(options.data, "validation"), seed=SEED, probability=0)
    print(json.dumps({**numbers, "gpu_mb": gpu_mb, "scores": dict(outcome.metrics)}))
