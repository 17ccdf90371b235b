"""Speed of scoring a model, beside a bare loop of forward passes over length-sorted batches.

    python benchmarks/evaluate.py [--model DIR] [--data DIR] [--split NAME] [--repeats N] [--json FILE]

By default it scores the teacher of the default run on its validation split. Both sides take turns in one
process. The bare loop makes its batches beforehand, and drops the logits. Scoring is everything that
`evaluate` does with a loaded model and tokenizer: batches, logits, metrics and predictions.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.sampling import batches_by_length
from kdpipe.evaluation.scoring import head_of, score
from kdpipe.evaluation.task import BATCH_SIZE
from kdpipe.models.family import family_of
from kdpipe.models.loading import load_frozen, load_tokenizer

RUN = Path("results/default")
TARGET = 0.9


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=RUN / "models" / "teacher")
    parser.add_argument("--data", type=Path, default=RUN / "data" / "packages" / "base")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    result = measure(options)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Time both sides in turns, after one uncounted turn of each."""
    head = head_of(options.data)
    model = load_frozen(options.model, head, torch.device("cpu"))
    tokenizer = load_tokenizer(options.model)
    split = EncodedSplit(options.data, options.split)
    batches = make_batches(model, split, tokenizer.pad_token_id)
    seconds: dict[str, list[float]] = {"bare": [], "kdpipe": []}
    for _ in range(options.repeats + 1):
        seconds["bare"].append(timed(lambda: run_bare(model, batches)))
        seconds["kdpipe"].append(
            timed(lambda: score(model, tokenizer, EncodedSplit(options.data, options.split), seed=1))
        )
    counted = {side: values[1:] for side, values in seconds.items()}
    ratio = median(b / k for b, k in zip(counted["bare"], counted["kdpipe"], strict=True))
    return {"examples": len(split), "seconds": counted, "ratio": ratio}


def make_batches(model: Any, split: EncodedSplit, pad_id: int) -> list[dict[str, torch.Tensor]]:
    """Return the tensors of each batch that the model reads."""
    collator = Collator(split, pad_id)
    inputs = family_of(model).inputs
    batches = [collator(indices.tolist()) for indices in batches_by_length(split.lengths, BATCH_SIZE)]
    return [{name: batch[name] for name in inputs if name in batch} for batch in batches]


@torch.inference_mode()
def run_bare(model: Any, batches: list[dict[str, torch.Tensor]]) -> None:
    """Run the model and drop its outputs."""
    for batch in batches:
        model(**batch)


def timed(run: Any) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def table(result: dict[str, Any]) -> str:
    """Return the numbers as a table."""
    rates = {side: result["examples"] / median(values) for side, values in result["seconds"].items()}
    return (
        f"{result['examples']:,} examples, medians of {len(result['seconds']['bare'])}\n"
        f"{'':24}{'examples/s':>12}\n"
        f"{'bare forward passes':24}{rates['bare']:12,.1f}\n"
        f"{'kdpipe score':24}{rates['kdpipe']:12,.1f}\n"
        f"ratio {result['ratio']:.2f} (target: at least {TARGET})"
    )


if __name__ == "__main__":
    main()
