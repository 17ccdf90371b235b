"""Importance as the change of the loss when the weights of a unit are removed."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kdpipe.models.units import Groups
from kdpipe.pruning.criterion import ExampleLosses, Reduction, Scores
from kdpipe.pruning.weights import sum_by_unit, unit_weights


class WeightGradient:
    """The sum of |w| times the sum over batches of |dL/dw|, over the weights of a unit.

    Of a head these are the columns of the map that reads it; of a neuron its row and its column.

    Reference:
        Molchanov et al. 2017 (arXiv 1611.06440), equation 7; as in ROSITA, Liu et al. 2021
        (arXiv 2103.11367).
    """

    reads_data = True

    def __init__(self, model: Any, groups: Groups, reduction: Reduction, seed: int) -> None:
        self._body = model.base_model
        self._groups = groups
        self._by_example = reduction == "example"
        model.requires_grad_(False)
        self._owned = unit_weights(self._body, groups)
        self._weights = [owned.weight.requires_grad_() for owned in self._owned]
        self._sums = [torch.zeros_like(weight) for weight in self._weights]

    def add(self, batch: Mapping[str, Tensor], losses: ExampleLosses) -> None:
        """Take a batch into account."""
        found = losses(batch)
        for loss in found if self._by_example else [found.mean()]:
            gradients = torch.autograd.grad(
                loss, self._weights, retain_graph=self._by_example, materialize_grads=True
            )
            torch._foreach_add_(self._sums, torch._foreach_abs(gradients))

    def scores(self) -> Scores:
        """Return the scores by kind and place [units]."""
        products = [
            weight.detach().abs() * total for weight, total in zip(self._weights, self._sums, strict=True)
        ]
        return sum_by_unit(self._body, self._groups, self._owned, products)
