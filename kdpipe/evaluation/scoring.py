"""Score a model on a split of an encoded dataset."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kdpipe import catalog
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit, read_description, validation_split
from kdpipe.data.targets import FixedMasking, Masking, NextToken, Targets, token_weights
from kdpipe.errors import ModelError
from kdpipe.evaluation.task import BATCH_SIZE, USUAL_ANSWERS, Advance, AnswerLimits, Evaluation, Subject, Task
from kdpipe.models.compatibility import check_fit
from kdpipe.models.family import family_of
from kdpipe.models.loading import Head, load_frozen, load_tokenizer
from kdpipe.models.multitask import folder_for
from kdpipe.models.precision import default_device
from kdpipe.signals.adapted import Adapted

Scorer = Callable[[Any], Mapping[str, float]]


def task_of(data: Path) -> type[Task]:
    """Return the task of an encoded dataset."""
    task: type[Task] = catalog.resolve("tasks", read_description(data)["task"])
    return task


def head_of(data: Path) -> Head:
    """Return the head of models for an encoded dataset."""
    description = read_description(data)
    labels = description["labels"]
    return Head(description["task"], tuple(labels) if labels else None)


def load_for(
    data: Path, folder: Path, *, head: bool = True, device: torch.device | None = None
) -> tuple[Any, Any]:
    """Load a model that runs on an encoded dataset but does not train, and its tokenizer.

    With `head` the model needs the head for the dataset's task. Of several heads it has the head that is
    called as the dataset, which lies in `DATASET/TOKENIZER`. By default it runs on a GPU if there is one.
    """
    tokenizer = load_tokenizer(folder)
    check_fit(folder, tokenizer, data)
    place = folder_for(folder, data.parent.name) if head else folder
    model = load_frozen(place, head_of(data) if head else None, device or default_device())
    return model, tokenizer


def score(
    model: Any,
    tokenizer: Any,
    split: EncodedSplit,
    *,
    seed: int,
    probability: float = 0.15,
    metrics: Sequence[str] = (),
    answers: AnswerLimits = USUAL_ANSWERS,
    batch_size: int | None = None,
    advance: Advance = lambda count: None,
) -> Evaluation:
    """Score a model on a split of a dataset.

    Args:
        model: a model with the head for the dataset's task, its labels in the dataset's order.
        tokenizer: its tokenizer; None where the task masks no tokens and the model knows its padding.
        split: the split.
        seed: seed of the masks, where the task masks tokens.
        probability: share of the tokens that are masked.
        metrics: names of the metrics, by default the task's metrics.
        answers: limits of the answers to questions.
        batch_size: number of examples in a batch, which changes nothing but rounding.
        advance: called with the number of examples after each batch.
    """
    task: type[Task] = catalog.resolve("tasks", split.task)
    targets = None
    if task.masked:
        targets = token_targets(model, tokenizer, seed, fixed=1, probability=probability, smoothing=0)
    collator = Collator(split, padding_id(model, tokenizer), targets)
    names = tuple(metrics) or task.metrics
    return task.evaluate(Subject(model, collator, names, advance, answers, batch_size or BATCH_SIZE))


def scorer(split: EncodedSplit | None, tokenizer: Any, **options: Any) -> Scorer | None:
    """Return a function that gives all metrics of a model on a split; arguments as of `score`."""
    if split is None:
        return None
    metrics = catalog.resolve("tasks", split.task).all_metrics
    return lambda model: score(model, tokenizer, split, metrics=metrics, **options).metrics


def validation_scorer(
    data: Path, tokenizer: Any, training: Mapping[str, Any], **options: Any
) -> Scorer | None:
    """Return `scorer` for the validation split of an encoded dataset, with the batch size of a training."""
    batch_size = training.get("per_device_eval_batch_size")
    return scorer(validation_split(data), tokenizer, batch_size=batch_size, **options)


def padding_id(model: Any, tokenizer: Any) -> int:
    """Return the id of the padding token; a model without a tokenizer may know none, and takes 0."""
    return (tokenizer or getattr(model, "config", model)).pad_token_id or 0


def is_causal(model: Any) -> bool:
    """Tell whether a language model predicts each next token, and no masked tokens."""
    return model.causal if isinstance(model, Adapted) else family_of(model).causal


def token_targets(
    model: Any,
    tokenizer: Any,
    seed: int,
    *,
    counts: NDArray[np.int64] | None = None,
    fixed: int | None = None,
    probability: float = 0.15,
    smoothing: float = 0.7,
    mask: float = 0.8,
    keep: float = 0.1,
    random: float = 0.1,
) -> Targets:
    """Return the targets of a model: masked tokens, or for a causal model each next token.

    Args:
        model: the model.
        tokenizer: its tokenizer, which knows the special tokens; a causal model needs none.
        seed: seed of the draws.
        counts: occurrences of each token [V]; not needed without smoothing.
        fixed: the number of maskings of each example, which epochs repeat; None masks anew in each epoch.
        probability: share of the tokens that become targets.
        smoothing: exponent s of count^-s, the preference for rare tokens; 0 chooses uniformly.
        mask: share of the targets that the mask token replaces.
        keep: share of the targets that stay.
        random: share of the targets that a random token replaces.

    Raises:
        ModelError: the model predicts masked tokens, and the tokenizer has no mask token.
    """
    if is_causal(model):
        return NextToken()
    if tokenizer.mask_token_id is None:
        raise ModelError(
            f"the tokenizer of {tokenizer.name_or_path} has no mask token, but a {type(model).__name__} "
            "predicts masked tokens; take a model whose tokenizer has a mask token, or a causal model"
        )
    if counts is None:
        counts = np.ones(len(tokenizer), dtype=np.int64)
    weights = token_weights(counts, tokenizer.all_special_ids, smoothing)
    draws = weights, tokenizer.mask_token_id, probability, (mask, keep, random), seed
    return FixedMasking(*draws, fixed) if fixed else Masking(*draws)
