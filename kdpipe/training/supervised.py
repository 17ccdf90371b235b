"""Train a model on an encoded dataset with its labels, or with the tokens that were masked."""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from kdpipe.data.batches import Collator, Masking
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import task_of, validation_scorer
from kdpipe.training.objective import Objective
from kdpipe.training.run import Outcome, train
from kdpipe.training.terms import hard_term


def train_on_labels(
    model: Any,
    tokenizer: Any,
    data: Path,
    masking: Masking | None,
    training: dict[str, Any],
    *,
    seed: int,
    folder: Path,
    bar: "tqdm[Any] | None" = None,
) -> Outcome:
    """Train a model in place, without a teacher.

    Args:
        model: a model with the head for the dataset's task.
        tokenizer: its tokenizer.
        data: the encoded dataset.
        masking: how tokens are masked, where the task masks them.
        training: fields of `TrainingArguments`, and `early_stopping_patience`.
        seed: seed of order and dropout.
        folder: where checkpoints go.
        bar: advanced by every step.
    """
    task, _ = task_of(data)
    return train(
        model,
        Objective([hard_term(task)], task.kind),
        Collator(EncodedSplit(data, "train"), tokenizer.pad_token_id, masking),
        training,
        seed=seed,
        folder=folder,
        evaluate=validation_scorer(
            tokenizer, data, seed=seed, probability=masking.probability if masking else 0.0
        ),
        bar=bar,
    )
