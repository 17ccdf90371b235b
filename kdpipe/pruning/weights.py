"""The weights of a unit: of a head those that read it; of a neuron those that make it, too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from kdpipe.models.units import KINDS, Groups, UnitKind
from kdpipe.pruning.criterion import Scores


@dataclass(frozen=True)
class UnitWeight:
    """A weight whose rows or columns belong to the units of one place.

    Args:
        kind: kind of the units.
        place: the place of the body.
        linear: the map that the weight is of.
        axis: the axis of the units' features.
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
    """Return the weights of all units; a place that has lost its own has none."""
    found = []
    for kind in KINDS:
        for place, group in enumerate(groups[kind]):
            if not group.count(body):
                continue
            inputs = group.inputs if kind == "neuron" else ()
            for name, side in [*((name, 0) for name in inputs), (group.output, 1)]:
                linear: Any = body.get_submodule(name)
                axis = 1 - side if isinstance(linear, Conv1D) else side
                found.append(UnitWeight(kind, place, linear, axis))
    return found


def sum_by_unit(
    body: nn.Module, groups: Groups, owned: Sequence[UnitWeight], values: Sequence[Tensor]
) -> Scores:
    """Return the sums by unit of something that each weight has a value of, by kind and place [units]."""
    sums: Scores = {
        kind: [torch.zeros(group.count(body), device=values[0].device) for group in groups[kind]]
        for kind in KINDS
    }
    for own, value in zip(owned, values, strict=True):
        group = groups[own.kind][own.place]
        sums[own.kind][own.place] += value.sum(1 - own.axis).reshape(-1, group.size).sum(1)
    return sums
