"""The weights of units: a head has the weights that read it, a neuron also the weights that compute it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from kdpipe.models.units import UNITS, Groups, UnitKind
from kdpipe.pruning.criterion import Scores


@dataclass(frozen=True)
class UnitWeight:
    """A weight whose rows or columns belong to the units of one place.

    The weight belongs to a linear map in a place of the body; the units' features lie along one axis.
    """

    kind: UnitKind
    place: int
    linear: Any
    axis: int

    @property
    def weight(self) -> Tensor:
        """Return the weight, without a gradient."""
        return self.linear.weight.detach()  # type: ignore[no-any-return]


def unit_weights(body: nn.Module, groups: Groups) -> list[UnitWeight]:
    """Return the weights of all units; a place without units has none."""
    weights = []
    for kind in UNITS:
        for place, group in enumerate(groups[kind]):
            if not group.count(body):
                continue
            inputs = group.inputs if kind == "neuron" else ()
            for name, side in [*((name, 0) for name in inputs), (group.output, 1)]:
                linear: Any = body.get_submodule(name)
                axis = 1 - side if isinstance(linear, Conv1D) else side
                weights.append(UnitWeight(kind, place, linear, axis))
    return weights


def sum_by_unit(
    body: nn.Module, groups: Groups, weights: Sequence[UnitWeight], values: Sequence[Tensor]
) -> Scores:
    """Return the sum of values over the weights of each unit, by kind and place [units].

    There is a tensor of values for each weight, with a value for each of its elements.
    """
    sums: Scores = {
        kind: [torch.zeros(group.count(body), device=values[0].device) for group in groups[kind]]
        for kind in UNITS
    }
    for weight, value in zip(weights, values, strict=True):
        group = groups[weight.kind][weight.place]
        sums[weight.kind][weight.place] += value.sum(1 - weight.axis).reshape(-1, group.size).sum(1)
    return sums
