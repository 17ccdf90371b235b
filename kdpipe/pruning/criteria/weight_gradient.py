"""Importance as the change of the loss when the weights of a unit are removed."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from kdpipe.models.units import Groups
from kdpipe.pruning.criterion import Criterion, Losses, Reduction, Scores
from kdpipe.pruning.weights import UnitWeight, sum_by_unit, unit_weights


class WeightGradient(Criterion):
    """The sum of |w| times the sum over batches of |dL/dw|, over the weights of a unit.

    The weights of a head are the columns of the map that reads it; a neuron has its row and its column. The
    gradient of a map is made from its inputs and from the gradient of its outputs, which one pass backward
    gives for every example.

    Reference:
        Molchanov et al. 2017 (arXiv 1611.06440), equation 7; as in ROSITA, Liu et al. 2021
        (arXiv 2103.11367). By example: Goodfellow 2015, Efficient Per-Example Gradient Computations
        (arXiv 1510.01799).
    """

    reads_data = True

    def __init__(self, model: Any, groups: Groups, reduction: Reduction, seed: int) -> None:
        self._body = model.base_model
        self._groups = groups
        self._by_example = reduction == "example"
        self._owned = unit_weights(self._body, groups)
        self._sums = [torch.zeros_like(unit.weight) for unit in self._owned]

    def add(self, batch: Mapping[str, Tensor], losses: Losses) -> None:
        with self._recording() as calls:
            values = losses(batch)
        # Examples share no computation, so that the gradient of the sum has each one's own.
        loss = values.sum() if self._by_example else values.mean()
        outputs = [calls[unit.linear][1] for unit in self._owned]
        gradients = torch.autograd.grad(loss, outputs, materialize_grads=True)
        for unit, gradient, total in zip(self._owned, gradients, self._sums, strict=True):
            for read, returned in self._parts(calls[unit.linear][0], gradient):
                total += _of_weight(unit, read, returned).abs_()

    def scores(self) -> Scores:
        products = [unit.weight.abs() * total for unit, total in zip(self._owned, self._sums, strict=True)]
        return sum_by_unit(self._body, self._groups, self._owned, products)

    def _parts(self, features: Tensor, gradient: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        """Return the rows [N, features] whose gradient is taken as one: of each example, or of all."""
        if self._by_example:
            return zip(features, gradient, strict=True)
        return [(features.flatten(0, 1), gradient.flatten(0, 1))]

    @contextmanager
    def _recording(self) -> Iterator[dict[Any, tuple[Tensor, Tensor]]]:
        """Record what each map reads and what it returns, [B, L, features] both."""
        calls: dict[Any, tuple[Tensor, Tensor]] = {}

        def record(linear: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[linear] = inputs[0].detach(), output.requires_grad_()

        handles = [unit.linear.register_forward_hook(record) for unit in self._owned]
        try:
            yield calls
        finally:
            for handle in handles:
                handle.remove()


def _of_weight(unit: UnitWeight, read: Tensor, returned: Tensor) -> Tensor:
    """Return the gradient of a weight from rows of inputs and of outputs' gradients."""
    return read.T @ returned if isinstance(unit.linear, Conv1D) else returned.T @ read
