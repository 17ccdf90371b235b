"""How the rows of signals are stored: without padding, in a precision that may be half.

numpy and Arrow have no bfloat16, so 16-bit integers hold its bits.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.anatomy.signals import SIGNAL_KINDS, Signal, StoredPrecision
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Targets
from kdpipe.errors import KdpipeError
from kdpipe.models.precision import upcast
from kdpipe.signals.rows import Rows

# The number of examples whose tokens are read at a time.
EXAMPLES = 8192


@dataclass(frozen=True)
class StoredList:
    """A column of the file with a list for each of some examples.

    Args:
        name: its name.
        values: the list of each example, numbers [N] or rows of numbers [N, W].
        metadata: what it holds.
    """

    name: str
    values: Sequence[NDArray[Any]]
    metadata: Mapping[str, str]


@runtime_checkable
class Listed(Protocol):
    """Rows that say in which columns they are stored."""

    def lists(self, signal: Signal, precision: StoredPrecision) -> Iterator[StoredList]:
        """Yield the columns that hold the rows of a signal."""
        ...

    def bytes_of(self, signal: Signal, length: int, precision: StoredPrecision) -> int:
        """Return the most bytes that an example of so many tokens takes."""
        ...


def precision_of(signal: Signal, precision: StoredPrecision) -> StoredPrecision:
    """Return the precision that a signal is stored in.

    Args:
        signal: the signal.
        precision: the precision of signals that may be halved.
    """
    return precision if SIGNAL_KINDS[signal.kind].halved else "float32"


def row_counts(
    split: EncodedSplit, indices: NDArray[np.int64], signal: Signal, positions: str, targets: Targets | None
) -> NDArray[np.int64]:
    """Return how many stored rows each of some examples has.

    Args:
        split: the examples.
        indices: the places of the examples in the split.
        signal: the signal.
        positions: the positions of its rows.
        targets: the tokens that a language model is to predict.
    """
    lengths = split.lengths[indices].astype(np.int64)
    if positions == "tokens":
        return lengths**2 if by_pair(signal) else lengths
    if positions == "examples":
        return np.ones_like(lengths)
    if targets is None:
        return split.logit_counts[indices].astype(np.int64)
    blocks = [indices[start : start + EXAMPLES] for start in range(0, len(indices), EXAMPLES)]
    ids = split.column("input_ids")
    return np.concatenate([targets.count(ids[block], split.lengths[block]) for block in blocks])


def by_pair(signal: Signal) -> bool:
    """Tell whether a signal is stored by pair of query and key."""
    return SIGNAL_KINDS[signal.kind].rows == "queries"


def row_shape(rows: Rows, signal: Signal) -> tuple[int, ...]:
    """Return the shape of a stored row; a pair of query and key has a number for each head."""
    shape = tuple(rows.values.shape[1:])
    return shape[:1] if by_pair(signal) else shape


def examples_of(rows: Rows, signal: Signal) -> Iterator[Tensor]:
    """Yield the rows of each example as stored; queries [l, A, L] become pairs with real keys [l, l, A]."""
    for values in torch.split(rows.values, _lengths(rows)):
        yield values[..., : len(values)].transpose(1, 2) if by_pair(signal) else values


def unflattened(rows: Rows, signal: Signal) -> Rows:
    """Return rows with stored values as a run of the teacher gives them."""
    if not by_pair(signal):
        return rows
    lengths, heads = _lengths(rows), rows.values.shape[1]
    whole = rows.values.new_zeros(len(rows.places), heads, rows.size[1])
    pairs_of_examples = torch.split(rows.values, [length**2 for length in lengths])
    # Example by example, whole blocks are copied, which is faster than a mask of pairs.
    for queries, pairs in zip(torch.split(whole, lengths), pairs_of_examples, strict=True):
        length = len(queries)
        queries[..., :length] = pairs.view(length, length, heads).transpose(1, 2)
    return Rows(whole, rows.places, rows.size, rows.positions)


def _lengths(rows: Rows) -> list[int]:
    """Return the number of rows of each example."""
    lengths: list[int] = rows.real.sum(1).tolist()
    return lengths


def narrowed(values: Tensor, signal: Signal, precision: StoredPrecision) -> Tensor:
    """Return values of a signal on the processor, in the precision that they are stored in.

    Raises:
        KdpipeError: a signal that may be halved is not finite, or larger than its precision holds.
    """
    values = upcast(values)
    kind = getattr(torch, precision_of(signal, precision))
    if not SIGNAL_KINDS[signal.kind].halved:
        return values.to(kind).cpu()
    # The largest of float32 is found much faster than an infinite half.
    largest = float(torch.stack(values.aminmax()).abs().max()) if values.numel() else 0.0
    holds = torch.finfo(kind).max
    if largest <= holds:
        return values.to(kind).cpu()
    if np.isfinite(largest):
        what = f"reaches {largest:,.0f}, more than the {holds:,.0f} that {precision} holds"
        wider = "`cache_precision: bfloat16` or `float32`" if precision == "float16" else "`float32`"
        raise KdpipeError(f"the teacher's {signal} {what}; give {wider}")
    raise KdpipeError(
        f"the teacher's {signal} is not finite; its training has diverged, "
        "or its precision is too narrow for it: give `bf16: true` in place of `fp16`"
    )


def as_numbers(values: Tensor) -> NDArray[Any]:
    """Return stored values as an array of the same memory."""
    return (values.view(torch.int16) if values.dtype == torch.bfloat16 else values).numpy()


def restored(values: NDArray[Any], precision: str) -> Tensor:
    """Return stored values as a tensor of their precision."""
    tensor = torch.from_numpy(values)
    return tensor.view(torch.bfloat16) if precision == "bfloat16" else tensor
