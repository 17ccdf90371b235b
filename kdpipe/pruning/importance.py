"""Score the units of a model by the loss on a dataset."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from kdpipe import catalog
from kdpipe.anatomy.signals import LOGITS, Positions
from kdpipe.data.batches import on_device
from kdpipe.losses.hard import HardLoss
from kdpipe.losses.loss import OutputKind
from kdpipe.models.family import family_of
from kdpipe.pruning.criterion import Criterion, Reduction, Scores
from kdpipe.signals.capture import Request, capture
from kdpipe.signals.rows import Rows

LabelLosses = Callable[[Mapping[str, Tensor], Reduction], Tensor]


def label_losses(model: Any, kind: OutputKind, positions: Positions) -> LabelLosses:
    """Return a function from a batch to the losses on its labels.

    By batch there is a loss for each row of logits [N], as in training. By example there is a loss for each
    example [B], the mean over its rows.

    Args:
        model: the model.
        kind: meaning of the task's logits.
        positions: the positions whose logits the model gives.
    """
    loss = HardLoss()

    def losses(batch: Mapping[str, Tensor], reduction: Reduction) -> Tensor:
        rows = capture(model, batch, Request(positions=positions))[LOGITS].at(positions, batch)
        by_row = loss(rows.values, batch["labels"], kind)
        return by_row if reduction == "batch" else _by_example(by_row, rows)

    return losses


def score_units(
    model: Any,
    criterion: str,
    batches: Iterable[Mapping[str, Tensor]],
    losses: LabelLosses,
    *,
    reduction: Reduction = "batch",
    seed: int = 0,
) -> Scores:
    """Return the scores of a model's heads and neurons by kind and place [units].

    Args:
        model: the model, whose dropout is turned off; its weights stay as they are.
        criterion: the criterion's name in the catalog.
        batches: batches of the data, on any device.
        losses: a function from a batch to its losses, as `label_losses` returns.
        reduction: as of `Criterion`.
        seed: seed of draws.
    """
    model.eval()
    groups = family_of(model).groups(model.base_model)
    with _frozen(model):
        scorer: Criterion = catalog.resolve("criteria", criterion)(model, groups, reduction, seed)
        if scorer.reads_data:
            for batch in batches:
                scorer.add(on_device(batch, model.device), lambda inputs: losses(inputs, reduction))
        return scorer.scores()


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
