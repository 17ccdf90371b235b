"""The places in a model where activations are read and replaced, and runs that begin or end there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kdpipe.anatomy.alignments import At, Site
from kdpipe.errors import ModelError
from kdpipe.models.family import family_of
from kdpipe.models.units import Group
from kdpipe.signals.bodies import ReachedError, run_body

# The parts that a joint map of queries, keys and values gives.
PARTS = ("queries", "keys", "values")


@dataclass(frozen=True)
class Point:
    """A place in a block where activations are read or replaced.

    Args:
        block: the block, from 0.
        module: the module that reads or returns them.
        reads: whether it reads them; else it returns them.
        columns: which numbers of a row they are [C]; None for all.
    """

    block: int
    module: nn.Module
    reads: bool
    columns: Tensor | None

    def watch(self, act: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Give an action the activations [B, L, W] of each run; what it returns takes their place."""

        def before(module: nn.Module, args: Any) -> Any:
            replaced = act(args[0])
            return None if replaced is None else (replaced, *args[1:])

        def after(module: nn.Module, args: Any, output: Any) -> Any:
            replaced = act(first_of(output))
            return None if replaced is None else with_first(output, replaced)

        if self.reads:
            return self.module.register_forward_pre_hook(before)
        return self.module.register_forward_hook(after)

    def rows(self, states: Tensor, places: Tensor) -> Tensor:
        """Return the activations [K, C] at some places [K] of the flattened batch."""
        rows = states.flatten(0, 1).index_select(0, places)
        return rows if self.columns is None else rows.index_select(1, self.columns)

    def replaced(self, states: Tensor, places: Tensor, rows: Tensor) -> Tensor:
        """Return states [B, L, W] whose activations at some places are others [K, C]."""
        flat, rows = states.flatten(0, 1), rows.to(states.dtype)
        if self.columns is not None:
            rows = flat.index_select(0, places).index_copy(1, self.columns, rows)
        return flat.index_copy(0, places, rows).view_as(states)


def points_of(model: Any, site: Site, at: At) -> list[Point]:
    """Return the points of a site in a model, from the first block to the last.

    Raises:
        ModelError: the model has no such blocks or heads.
    """
    blocks = family_of(model).blocks(model.base_model)
    if missing := [block for block in site.blocks if not 0 <= block < len(blocks)]:
        name = type(model).__name__
        raise ModelError(f"interchange: a {name} has blocks 0 to {len(blocks) - 1}, found {missing[0]}")
    return [_point(model, site, at, block) for block in sorted(set(site.blocks))]


def _point(model: Any, site: Site, at: At, block: int) -> Point:
    family, body, device = family_of(model), model.base_model, model.device
    if at == "output":
        fields = family.shape_fields
        width = getattr(model.config, fields["width"])
        heads = getattr(model.config, fields["heads"]) if "heads" in fields else 1
        module = family.blocks(body)[block]
        return Point(block, module, False, _columns(model, site, width, heads, device=device))
    if not family.unit_names:
        raise ModelError(f"interchange: a {type(model).__name__} has no attention heads")
    group: Group = family.groups(body)["head"][block]
    heads = group.count(body)
    columns = partial(_columns, model, site, heads * group.size, heads, device=device)
    if at == "heads":
        return Point(block, body.get_submodule(group.output), True, columns())
    part = PARTS.index(at)
    if len(group.inputs) == 1:
        return Point(block, body.get_submodule(group.inputs[0]), False, columns(part * heads * group.size))
    return Point(block, body.get_submodule(group.inputs[part]), False, columns())


def _columns(
    model: Any, site: Site, width: int, heads: int, first: int | None = None, *, device: torch.device
) -> Tensor | None:
    """Return which numbers of a row a site has [C]; None for all.

    Args:
        model: the model.
        site: the site.
        width: numbers of a row.
        heads: heads that share them.
        first: the place where they begin, in the row of a joint map.
        device: the device of the model.
    """
    size = width // heads if heads else 0
    wrong = [head for head in site.heads or () if not 0 <= head < heads]
    if not heads or wrong or (site.dims and site.dims[1] > size):
        raise ModelError(
            f"interchange: a block of the {type(model).__name__} has {heads} heads of {size} numbers, found a"
            f" site at {site}"
        )
    columns = site.columns(width, heads)
    if first is None and columns == list(range(width)):
        return None
    return torch.tensor([(first or 0) + column for column in columns], device=device)


@contextmanager
def watching(points: Sequence[Point], act: Callable[[int, Tensor], Tensor | None]) -> Iterator[None]:
    """Give an action the number of a point and its activations, whenever the model runs."""
    handles = [point.watch(partial(act, number)) for number, point in enumerate(points)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def starting_at(model: Any, block: int, given: Any) -> Iterator[None]:
    """Let a model begin at a block: the blocks below do not run, and their output is given.

    Args:
        model: the model.
        block: the first block that runs, from 0.
        given: what the block below returned in an earlier run on the batch; for block 0 what it read.
    """
    blocks = family_of(model).blocks(model.base_model)
    below = list(blocks)[:block]
    handle = None
    if not below:
        handle = blocks[0].register_forward_pre_hook(lambda _, args: (given, *args[1:]))
    for module in below:
        # An attribute of the object goes before the method of its class.
        module.forward = lambda *args, **options: given
    try:
        yield
    finally:
        for module in below:
            del module.forward
        if handle is not None:
            handle.remove()


def run_until_read(
    model: Any, inputs: Mapping[str, Tensor], points: Sequence[Point], places: Tensor
) -> list[Tensor]:
    """Run the body of a model as far as some points, and return the activations there, each [K, C].

    Args:
        model: the model.
        inputs: the inputs of its family.
        points: the points, from the first block to the last.
        places: which rows of the flattened batch are read [K].
    """
    found: list[Tensor] = []

    def record(number: int, states: Tensor) -> None:
        found.append(points[number].rows(states, places))
        if len(found) == len(points):
            raise ReachedError

    with watching(points, record):
        run_body(model, inputs)
    return found


def first_of(output: Any) -> Tensor:
    """Return the states that a module returns, alone or before other results."""
    states: Tensor = output if isinstance(output, Tensor) else output[0]
    return states


def with_first(output: Any, states: Tensor) -> Any:
    """Return the output of a module with other states."""
    return states if isinstance(output, Tensor) else (states, *output[1:])
