"""Score the units of a model by the loss on a dataset."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from kdpipe.anatomy.signals import LOGITS, Positions
from kdpipe.data.batches import Batch, Collator, on_device
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.sampling import LengthGroupedSampler
from kdpipe.errors import DataError, ModelError
from kdpipe.losses.hard import HardLoss
from kdpipe.losses.loss import OutputKind
from kdpipe.models.family import family_of
from kdpipe.pruning.criterion import Reduction, Scores
from kdpipe.signals.capture import Request, capture
from kdpipe.signals.rows import Rows

LabelLosses = Callable[[Mapping[str, Tensor], Reduction], Tensor]


def label_losses(model: Any, kind: OutputKind, positions: Positions) -> LabelLosses:
    """Return a function from a batch to the losses on its labels.

    By batch there is a loss for each row of logits [N], as in training. By example there is a loss for each
    example [B], the mean over its rows.
    """
    loss = HardLoss()

    def losses(batch: Mapping[str, Tensor], reduction: Reduction) -> Tensor:
        rows = capture(model, batch, Request(positions=positions))[LOGITS].at(positions, batch)
        by_row = loss(rows.values, batch["labels"], kind)
        return by_row if reduction == "batch" else _by_example(by_row, rows)

    return losses


def score_units(
    model: Any,
    criterion: type[Any],
    batches: Iterable[Mapping[str, Tensor]],
    losses: LabelLosses,
    *,
    reduction: Reduction = "batch",
    seed: int = 0,
) -> Scores:
    """Return the scores of a model's heads and neurons by kind and place [units].

    Args:
        model: the model, whose dropout is turned off; its weights stay as they are.
        criterion: the criterion.
        batches: batches of the data, on any device.
        losses: a function from a batch to its losses, as `label_losses` returns.
        reduction: as of `Criterion`.
        seed: seed of draws.
    """
    model.eval()
    groups = family_of(model).groups(model.base_model)
    with _frozen(model):
        scorer = criterion(model, groups, reduction, seed)
        if scorer.reads_data:
            for batch in batches:
                scorer.add(on_device(batch, model.device), lambda inputs: losses(inputs, reduction))
        scores: Scores = scorer.scores()
        return scores


def check_finite(scores: Scores, model: Any) -> None:
    """Refuse scores that are not finite."""
    if not all(tensor.isfinite().all() for places in scores.values() for tensor in places):
        raise ModelError(
            f"{model}: expected finite scores of all heads and neurons, found others, as its weights or its"
            " loss are not finite; train it with a lower learning rate"
        )


def first_batches(
    split: EncodedSplit, pad_id: int, size: int, batches: int | None, seed: int
) -> tuple[int, Iterator[Batch]]:
    """Return the first batches of the seed's order, or all, after the number of their examples."""
    if "labels" not in split.columns:
        raise DataError(f"{split.path}: expected labels, by whose loss units are ranked, found none")
    collator = Collator(split, pad_id)
    order = LengthGroupedSampler(split.lengths, size, seed, collator)
    examples = list(islice(order, batches and batches * size))
    starts = range(0, len(examples), size)
    return len(examples), (collator(examples[start : start + size]) for start in starts)


@contextmanager
def _frozen(model: Any) -> Iterator[None]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()


def _by_example(losses: Tensor, rows: Rows) -> Tensor:
    """Return the mean loss over each example's rows [B]; 0 for an example without rows."""
    sums = losses.new_zeros(rows.size[0]).index_add(0, rows.examples, losses)
    return sums / torch.bincount(rows.examples, minlength=rows.size[0]).clamp(min=1)
