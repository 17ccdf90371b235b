"""Score the units of a model by the loss on a dataset."""

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

    By batch there is a loss for each row of logits [N], as in training. By example there is a loss for each
    example [B], the mean over its rows.

    Args:
        model: the model.
        kind: meaning of the task's logits.
        rows: the rows whose logits the model gives, as in `Request`.
    """
    loss = HardLoss()

    def losses(batch: Mapping[str, Tensor], reduction: Reduction) -> Tensor:
        logits = run_model(model, batch, Request(rows=rows)).logits
        assert logits is not None
        by_row = loss(logits, batch["labels"], kind)
        return by_row if rows is None or reduction == "batch" else _by_example(by_row, batch, rows)

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
                moved = {name: tensor.to(model.device) for name, tensor in batch.items()}
                scorer.add(moved, lambda inputs: losses(inputs, reduction))
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


def _by_example(losses: Tensor, batch: Mapping[str, Tensor], rows: str) -> Tensor:
    """Return the mean loss over each example's rows [B]; 0 for an example without rows."""
    size, width = batch["input_ids"].shape
    if rows not in batch:
        return losses.view(size, -1).mean(1)
    example = batch[rows] // width
    sums = torch.zeros(size, device=losses.device).index_add(0, example, losses)
    return sums / torch.bincount(example, minlength=size).clamp(min=1)
