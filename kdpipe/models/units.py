"""The units that pruning removes: attention heads, and neurons of feed-forward layers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from kdpipe.errors import ModelError

UnitKind = Literal["head", "neuron"]
UNITS: tuple[UnitKind, ...] = ("head", "neuron")


@dataclass(frozen=True)
class Group:
    """The heads of one attention, or the neurons of one feed-forward layer.

    Args:
        kind: kind of the units.
        inputs: names, in the body, of the maps whose outputs are the units.
        output: name of the map that reads the units.
        size: number of features of a unit.
        ranks: name of the `RankBuffers` of the units, which a pruned model has.
    """

    kind: UnitKind
    inputs: tuple[str, ...]
    output: str
    size: int
    ranks: str

    def count(self, body: nn.Module) -> int:
        """Return the number of units."""
        return widths(body.get_submodule(self.output))[0] // self.size


Groups = Mapping[UnitKind, Sequence[Group]]


class RankBuffers(nn.Module):
    """The units of the unpruned ancestor that a group still has.

    Args:
        index: indices of the units in the ancestor's group [units].
        rank: ranks of the units among all units of their kind in the ancestor, 0 for the least important
            [units].
    """

    index: Tensor
    rank: Tensor

    def __init__(self, index: Tensor, rank: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index.to(torch.int32))
        self.register_buffer("rank", rank.to(torch.int32))


def widths(linear: nn.Module) -> tuple[int, int]:
    """Return the numbers of input and output features of a linear map."""
    rows, columns = linear.weight.shape  # type: ignore[misc]
    return (rows, columns) if isinstance(linear, Conv1D) else (columns, rows)


@contextmanager
def masked(body: nn.Module, groups: Groups, masks: Mapping[UnitKind, Sequence[Tensor]]) -> Iterator[None]:
    """Multiply every unit by its entry of a mask while the body runs.

    The mask multiplies the context of a head, after the softmax, and the activation of a neuron. So attention
    stays fast. There is a mask for each kind and group: [units], or for each example [B, 1, units].
    """

    def multiply(size: int, mask: Tensor) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (inputs[0] * mask.repeat_interleave(size, dim=-1), *inputs[1:])

        return hook

    handles = [
        body.get_submodule(group.output).register_forward_pre_hook(multiply(group.size, mask))
        for kind in UNITS
        for group, mask in zip(groups[kind], masks[kind], strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def keep_units(body: nn.Module, group: Group, indices: Tensor) -> None:
    """Cut the maps of a group down to the units at some indices [K], in this order.

    The bias of the map that reads the units stays, even if no unit is left.
    """
    total = group.count(body) * group.size
    features = (indices[:, None] * group.size + torch.arange(group.size)).flatten()
    for name in group.inputs if total else ():
        parts = widths(body.get_submodule(name))[1] // total
        rows = torch.cat([features + part * total for part in range(parts)])
        _select(body.get_submodule(name), 1, rows)
    _select(body.get_submodule(group.output), 0, features)


def drop_bias(body: nn.Module, group: Group) -> None:
    """Remove the bias of the map that reads the units of a group; without units the map then gives zeros."""
    linear: Any = body.get_submodule(group.output)
    if isinstance(linear, Conv1D):
        raise ModelError(f"{group.output} always adds its bias; leave `compat: code` out")
    linear.bias = None


def _select(linear: Any, side: int, places: Tensor) -> None:
    """Cut a linear map down to some of its inputs (side 0) or of its outputs (side 1)."""
    transposed = isinstance(linear, Conv1D)
    places = places.to(linear.weight.device)
    linear.weight = nn.Parameter(
        linear.weight.detach().index_select(side if transposed else 1 - side, places)
    )
    if side == 1 and linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.detach()[places])
    inputs, outputs = ("nx", "nf") if transposed else ("in_features", "out_features")
    setattr(linear, outputs if side else inputs, len(places))
