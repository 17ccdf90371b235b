"""Score the units of a model by what a dataset's loss says of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from kdpipe import catalog
from kdpipe.losses.hard import HardLoss
from kdpipe.losses.loss import OutputKind
from kdpipe.models.family import family_of
from kdpipe.pruning.criterion import Criterion, Reduction, Scores
from kdpipe.signals.capture import Request, run_model

LabelLosses = Callable[[Mapping[str, Tensor], Reduction], Tensor]


def label_losses(model: Any, kind: OutputKind, rows: str | None) -> LabelLosses:
    """Return a function from a batch to the losses on its labels.

    By batch these are those of the rows of logits [N], as in training; by example those of the examples [B],
    each the mean over its rows.

    Args:
        model: the model.
        kind: what the task's logits mean.
        rows: the rows that a model gives logits of, as in `Request`.
    """
    loss = HardLoss()

    def losses(batch: Mapping[str, Tensor], reduction: Reduction) -> Tensor:
        logits = run_model(model, batch, Request(rows=rows)).logits
        assert logits is not None
        found = loss(logits, batch["labels"], kind)
        return found if rows is None or reduction == "batch" else _by_example(found, batch, rows)

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
        losses: the losses of a batch, as of `label_losses`.
        reduction: whether absolute values are taken of a batch's mean gradient or of each example's.
        seed: seed of draws.
    """
    model.eval()
    groups = family_of(model).groups(model.base_model)
    with _frozen(model):
        found: Criterion = catalog.resolve("criteria", criterion)(model, groups, reduction, seed)
        if found.reads_data:
            for batch in batches:
                moved = {name: tensor.to(model.device) for name, tensor in batch.items()}
                found.add(moved, lambda own: losses(own, reduction))
        return found.scores()


@contextmanager
def _frozen(model: Any) -> Iterator[None]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()


def _by_example(losses: Tensor, batch: Mapping[str, Tensor], rows: str) -> Tensor:
    """Return the mean over each example's rows [B]; 0 for one without."""
    size, width = batch["input_ids"].shape
    if rows not in batch:
        return losses.view(size, -1).mean(1)
    example = batch[rows] // width
    sums = torch.zeros(size, device=losses.device).index_add(0, example, losses)
    return sums / torch.bincount(example, minlength=size).clamp(min=1)
