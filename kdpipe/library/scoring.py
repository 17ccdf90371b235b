"""`kdpipe.evaluate`: the scores of a model on a dataset."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel

from kdpipe import catalog
from kdpipe.anatomy.families import LANGUAGE_MODELING, QUESTION_ANSWERING
from kdpipe.errors import KdpipeError
from kdpipe.evaluation.reading import read_rows, targets_for
from kdpipe.evaluation.scoring import score
from kdpipe.library.progress import Callback, check_functions, followed
from kdpipe.signals.adapted import Adapted


def evaluate(
    model: PreTrainedModel | Adapted,
    dataset: Any,
    *,
    metrics: Sequence[str] = (),
    tokenizer: Any = None,
    batch_size: int | None = None,
    seed: int = 42,
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
) -> dict[str, float]:
    """Return the scores of a model on a dataset, by the names of the metrics.

    Args:
        model: the model, with a head for the task.
        dataset: tokenized rows with labels.
        metrics: names of the metrics; by default the metrics of the task.
        tokenizer: the tokenizer, which masked language modelling needs.
        batch_size: rows of a batch.
        seed: seed of masks.
        callbacks: functions that are called after each batch, with the number of examples that are scored and
            the number of all examples.
        progress: whether a bar is shown; by default on a terminal and in a notebook.

    Raises:
        KdpipeError: the rows do not fit the model, or have no labels.
    """
    check_functions(callbacks)
    split = read_rows(model, dataset)
    if split.task == QUESTION_ANSWERING:
        raise KdpipeError(
            "evaluate: answers are scored as texts, which rows of token ids do not have; score a model for"
            " question answering with the workflow (`evaluate` in a config)"
        )
    if split.task != LANGUAGE_MODELING and "labels" not in split.columns:
        raise KdpipeError("evaluate: expected rows with a column `labels`, found none")
    targets_for(model, tokenizer, split, seed)
    known = catalog.resolve("tasks", split.task).all_metrics
    if unknown := set(metrics) - set(known):
        raise KdpipeError(f"metrics: expected some of {', '.join(known)}, found {', '.join(sorted(unknown))}")
    how: dict[str, Any] = {"metrics": metrics, "batch_size": batch_size, "seed": seed}
    with followed(progress, callbacks, "evaluate", "example", len(split)) as advance:
        return dict(score(model, tokenizer, split, advance=advance, **how).metrics)
