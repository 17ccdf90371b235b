"""Importance as the gradient of a mask on every unit."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kdpipe.models.units import UNITS, Groups, masked
from kdpipe.pruning.criterion import Criterion, Losses, Reduction, Scores


class MaskGradient(Criterion):
    """The sum over batches of |dL/dm|, m a factor of 1 on every head's context and every activated neuron.

    No gradient of a weight is computed. Scores are normalised to length 1 in each place.

    Reference:
        Michel et al. 2019, Are Sixteen Heads Really Better than One? (arXiv 1905.10650), equation 2; with
        neurons: Zhang et al. 2022, MiniDisc (arXiv 2205.14570).
    """

    reads_data = True

    def __init__(self, model: Any, groups: Groups, reduction: Reduction, seed: int) -> None:
        self._body = model.base_model
        self._groups = groups
        self._by_example = reduction == "example"
        self._sums: Scores = {
            kind: [torch.zeros(group.count(self._body), device=model.device) for group in groups[kind]]
            for kind in UNITS
        }

    def add(self, batch: Mapping[str, Tensor], losses: Losses) -> None:
        size = len(batch["input_ids"]) if self._by_example else 1
        masks = {
            kind: [
                torch.ones(size, 1, len(total), device=total.device, requires_grad=True) for total in totals
            ]
            for kind, totals in self._sums.items()
        }
        with masked(self._body, self._groups, masks):
            values = losses(batch)
        # Examples share no computation, so that the gradient of the sum has each one's own.
        loss = values.sum() if self._by_example else values.mean()
        flat = [mask for kind in UNITS for mask in masks[kind]]
        gradients = iter(torch.autograd.grad(loss, flat, materialize_grads=True))
        for kind in UNITS:
            for total in self._sums[kind]:
                total += next(gradients).abs().sum((0, 1))

    def scores(self) -> Scores:
        """Return the scores by kind and place [units]; the scores of each place have length 1."""
        tiny = 1e-17
        return {
            kind: [total / (total.norm() + tiny) for total in totals] for kind, totals in self._sums.items()
        }
