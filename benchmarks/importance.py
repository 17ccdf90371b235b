"""Speed of scoring heads and neurons, beside forward and backward passes over the same batches.

    python benchmarks/importance.py [--batches N] [--size N] [--width N] [--repeats N] [--json FILE]

The model is MiniLM (6 blocks, 384 wide) with a head for two classes, on random tokens. The criteria and the
bare loop, which computes the gradients of all weights, take turns in one process. Seconds are processor
seconds of all threads, so that other work on the machine changes them little.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification

from kdpipe.catalog import resolve
from kdpipe.pruning.importance import label_losses, score_units

TARGETS = {"mask_gradient": 0.9, "weight_gradient": 1.2}
MINILM = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    result = measure(options)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Time all sides in turns, after one uncounted round."""
    torch.manual_seed(1)
    model = BertForSequenceClassification(BertConfig(**MINILM)).eval()
    batches = [make_batch(options.size, options.width) for _ in range(options.batches)]
    sides: dict[str, Callable[[], None]] = {"bare": lambda: run_bare(model, batches)}
    sides |= {name: criterion(model, name, batches) for name in TARGETS}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.repeats + 1):
        for name, side in sides.items():
            seconds[name].append(timed(side))
    counted = {name: values[1:] for name, values in seconds.items()}
    ratios = {
        name: median(scored / bare for scored, bare in zip(counted[name], counted["bare"], strict=True))
        for name in TARGETS
    }
    return {"seconds": counted, "ratios": ratios}


def make_batch(size: int, width: int) -> dict[str, torch.Tensor]:
    """Return a batch of random tokens and labels."""
    ids = torch.randint(1000, 20000, (size, width))
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.randint(0, 2, (size,)),
    }


def run_bare(model: Any, batches: list[dict[str, torch.Tensor]]) -> None:
    """Run forward and backward, and drop the gradients."""
    model.requires_grad_(True)
    for batch in batches:
        model(**batch).loss.backward()
        model.zero_grad()


def criterion(model: Any, name: str, batches: list[dict[str, torch.Tensor]]) -> Callable[[], None]:
    """Return a function that scores the model's units by a criterion."""
    scorer = resolve("criteria", name)

    def score() -> None:
        score_units(model, scorer, batches, label_losses(model, "categorical", None))

    return score


def timed(run: Callable[[], None]) -> float:
    """Return the processor seconds of a call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def table(result: dict[str, Any]) -> str:
    """Return the numbers as a table."""
    seconds, ratios = result["seconds"], result["ratios"]
    lines = [f"medians of {len(seconds['bare'])}", f"{'':24}{'seconds':>10}{'ratio':>8}{'at most':>9}"]
    lines += [f"{'forward and backward':24}{median(seconds['bare']):10.3f}"]
    lines += [
        f"{name:24}{median(seconds[name]):10.3f}{ratios[name]:8.2f}{TARGETS[name]:9.2f}" for name in TARGETS
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
