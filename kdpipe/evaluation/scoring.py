"""Score a model on a split of an encoded dataset."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.data.batches import Collator, FixedMasking
from kdpipe.data.encoded import EncodedSplit, labelled_splits, read_description
from kdpipe.data.source import VALIDATION
from kdpipe.evaluation.targets import token_targets
from kdpipe.evaluation.task import BATCH_SIZE, USUAL_ANSWERS, Advance, AnswerLimits, Evaluation, Subject, Task


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
    metrics: Sequence[str] = (),
    answers: AnswerLimits = USUAL_ANSWERS,
    batch_size: int | None = None,
    advance: Advance = lambda count: None,
) -> Evaluation:
    """Score a model on a split of a dataset.

    Args:
        model: a model with the head for the dataset's task, its labels in the dataset's order.
        tokenizer: its tokenizer.
        data: the encoded dataset.
        split: the split.
        seed: seed of the masks, where the task masks tokens.
        probability: share of the tokens that are masked.
        metrics: names of the metrics, by default the task's metrics.
        answers: limits of the answers to questions.
        batch_size: number of examples in a batch, which changes nothing but rounding.
        advance: called with the number of examples after each batch.
    """
    task, labels = task_of(data)
    targets = None
    if task.masked:
        settings = MaskingSettings(probability=probability, smoothing=0)
        targets = token_targets(model, tokenizer, settings, seed, masking=FixedMasking)
    collator = Collator(EncodedSplit(data, split), tokenizer.pad_token_id, targets)
    names = tuple(metrics) or task.metrics
    subject = Subject(model, collator, labels or (), names, advance, answers, batch_size or BATCH_SIZE)
    return task.evaluate(subject)


def validation_scorer(
    tokenizer: Any, data: Path, *, seed: int, probability: float, batch_size: int | None = None
) -> Callable[[Any], Mapping[str, float]] | None:
    """Return a function that scores a model on the validation split; None without such a split.

    Args:
        tokenizer: the model's tokenizer.
        data: the encoded dataset.
        seed: seed of the masks, where the task masks tokens.
        probability: share of the tokens that are masked.
        batch_size: number of examples in a batch.
    """
    if VALIDATION not in labelled_splits(data):
        return None

    def scorer(model: Any) -> Mapping[str, float]:
        all_metrics = task_of(data)[0].all_metrics
        return score(
            model,
            tokenizer,
            data,
            VALIDATION,
            seed=seed,
            probability=probability,
            metrics=all_metrics,
            batch_size=batch_size,
        ).metrics

    return scorer
