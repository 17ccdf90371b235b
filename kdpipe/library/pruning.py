"""`kdpipe.prune`: a model without the heads and neurons that matter least."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from transformers import PreTrainedModel

from kdpipe import catalog
from kdpipe.anatomy.families import LANGUAGE_MODELING
from kdpipe.data.batches import Batch
from kdpipe.errors import KdpipeError, ModelError, quoted
from kdpipe.evaluation.reading import read_rows
from kdpipe.evaluation.scoring import padding_id
from kdpipe.evaluation.task import Advance
from kdpipe.library.progress import Callback, check_functions, followed
from kdpipe.pruning.criteria.mask_gradient import MaskGradient
from kdpipe.pruning.criterion import Reduction
from kdpipe.pruning.cut import prune_to_sparsity, ranks_from
from kdpipe.pruning.importance import check_finite, first_batches, label_losses, score_units
from kdpipe.signals.adapted import Adapted


def prune(
    model: PreTrainedModel,
    dataset: Any,
    *,
    sparsity: float,
    criterion: type[Any] = MaskGradient,
    reduction: Reduction = "batch",
    batches: int | None = 64,
    batch_size: int = 32,
    seed: int = 42,
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
) -> PreTrainedModel:
    """Return a copy of a model without the heads and neurons that matter least for the loss on a dataset.

    Args:
        model: the model, with a head for the task.
        dataset: tokenized rows with labels.
        sparsity: the share of heads, and of neurons, that goes, from 0 to below 1; of a model that was pruned
            before the share of the first model.
        criterion: how heads and neurons are scored, a `kdpipe.pruning.criterion.Criterion`.
        reduction: as of `Criterion`.
        batches: number of batches that are read, in the order of the seed; None for all.
        batch_size: rows of a batch.
        seed: seed of the order.
        callbacks: functions that are called after each batch, with the number of batches that are read and
            the number of all batches.
        progress: whether a bar is shown; by default on a terminal and in a notebook.

    Raises:
        KdpipeError: the rows do not fit the model, or the model has lost more units already.
    """
    if not 0 <= sparsity < 1:
        raise KdpipeError(f"sparsity: expected a share from 0 to below 1, found {sparsity}")
    if batch_size < 1 or (batches is not None and batches < 1):
        fault = f"found batches={batches} and batch_size={batch_size}"
        raise KdpipeError(f"prune: expected at least one batch of at least one row, {fault}")
    check_functions(callbacks)
    if not isinstance(criterion, type):
        raise KdpipeError(
            f"criterion: expected a class, such as {MaskGradient.__name__} of {MaskGradient.__module__},"
            f" found {quoted(criterion)}"
        )
    if isinstance(model, Adapted):
        raise ModelError(
            "prune: expected a model of a family, found an adapted model, whose units nobody names"
        )
    split = read_rows(model, dataset)
    if split.task == LANGUAGE_MODELING:
        raise KdpipeError(
            "prune: units are ranked by the loss on labels; prune a model with a head for a task"
        )
    task = catalog.resolve("tasks", split.task)
    read, rows = first_batches(split, padding_id(model, None), batch_size, batches, seed)
    losses = label_losses(model, task.kind, task.positions)
    total = -(-read // batch_size) if criterion.reads_data else 0
    with followed(progress, callbacks, "prune", "batch", total) as advance:
        counted = _counted(rows, advance)
        scores = score_units(model, criterion, counted, losses, reduction=reduction, seed=seed)
    check_finite(scores, type(model).__name__)
    pruned: Any = prune_to_sparsity(model, sparsity, ranks_from(model, scores))
    return pruned.to(model.device).eval()  # type: ignore[no-any-return]


def _counted(batches: Iterable[Batch], advance: Advance) -> Iterator[Batch]:
    """Yield batches, and count each when its reader comes back."""
    for batch in batches:
        yield batch
        advance(1)
