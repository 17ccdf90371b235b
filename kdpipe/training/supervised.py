"""Train a model on the labels of an encoded dataset, or on its masked tokens."""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.data.batches import Collator, Targets
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import task_of, validation_scorer
from kdpipe.training.objective import Objective
from kdpipe.training.run import Outcome, train
from kdpipe.training.terms import hard_term


def train_on_labels(
    model: Any,
    tokenizer: Any,
    data: Path,
    targets: Targets | None,
    training: dict[str, Any],
    *,
    seed: int,
    probability: float,
    checkpoints: Checkpoints,
    bar: "tqdm[Any] | None" = None,
) -> Outcome:
    """Train a model in place, without a teacher.

    Args:
        model: a model with the head for the dataset's task.
        tokenizer: its tokenizer.
        data: the encoded dataset.
        targets: the tokens to predict, for language modelling.
        training: fields of `TrainingArguments`, and `early_stopping_patience`.
        seed: seed of order and dropout.
        probability: share of the tokens that are masked for scores during training.
        checkpoints: the checkpoints of the training.
        bar: progress bar of the steps.
    """
    task, _ = task_of(data)
    return train(
        model,
        Objective([hard_term(task)], task.kind),
        Collator(EncodedSplit(data, "train"), tokenizer.pad_token_id, targets),
        training,
        seed=seed,
        checkpoints=checkpoints,
        evaluate=validation_scorer(
            tokenizer,
            data,
            seed=seed,
            probability=probability,
            batch_size=training.get("per_device_eval_batch_size"),
        ),
        bar=bar,
    )
