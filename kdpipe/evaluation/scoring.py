"""Score a model on a split of an encoded dataset."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kdpipe import catalog
from kdpipe.data.batches import Collator, Masking
from kdpipe.data.encoded import EncodedSplit, read_description
from kdpipe.data.masking import token_weights
from kdpipe.evaluation.task import Evaluation, Task

# As in training: masked, kept, replaced at random.
SHARES = (0.8, 0.1, 0.1)


def task_of(data: Path) -> tuple[type[Task], tuple[str, ...] | None]:
    """Return the task of an encoded dataset, and its labels."""
    description = read_description(data)
    labels = description["labels"]
    task: type[Task] = catalog.resolve("tasks", description["task"])
    return task, tuple(labels) if labels else None


def score(
    model: Any,
    tokenizer: Any,
    data: Path,
    split: str,
    *,
    seed: int,
    probability: float,
    bf16: bool = False,
) -> Evaluation:
    """Score a model on a split of a dataset.

    Args:
        model: a model with the head for the dataset's task, its labels in the dataset's order.
        tokenizer: its tokenizer.
        data: the encoded dataset.
        split: the split.
        seed: seed of the masks, where the task masks tokens.
        probability: share of the tokens that are masked.
        bf16: whether matrices are multiplied in bfloat16.
    """
    task, labels = task_of(data)
    masking = None
    if task.positions == "masked":
        weights = token_weights(
            np.ones(len(tokenizer), dtype=np.int64), tokenizer.all_special_ids, smoothing=0
        )
        masking = Masking(weights, tokenizer.mask_token_id, probability, SHARES, seed)
    collator = Collator(EncodedSplit(data, split), tokenizer.pad_token_id, masking)
    return task.evaluate(model, collator, labels, bf16)


def validation_scorer(
    tokenizer: Any, data: Path, *, seed: int, probability: float
) -> Callable[[Any], Mapping[str, float]]:
    """Return a function that scores a model on the validation split, for evaluation during training."""

    def scorer(model: Any) -> Mapping[str, float]:
        return score(model, tokenizer, data, "validation", seed=seed, probability=probability).metrics

    return scorer
