"""Which numbers of the chosen tokens' states are compared.

Reference:
    Lu et al. 2021, Marginal Utility Diminishes (arXiv 2106.05691); `main.py` of
    github.com/llyx97/Marginal-Utility-Diminishes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.anatomy.knowledge import Share, WidthScheme, columns_of, count_numbers
from kdpipe.anatomy.signals import StoredPrecision


def kept_numbers(
    states: Tensor, lengths: Sequence[int], scheme: WidthScheme, share: Share, precision: StoredPrecision
) -> Tensor | None:
    """Return which numbers of the chosen tokens are kept [N, W]; None for all.

    Args:
        states: the states of the tokens [N, W], 0 where a number is not known.
        lengths: chosen tokens of each example.
        scheme: how numbers are chosen.
        share: which share of an example's numbers is kept, rounded down.
        precision: how states are stored: numbers are compared as they are stored, so that a choice among
            stored numbers is the same.
    """
    if share.hidden is None:
        return None
    columns = columns_of(scheme, share, states.shape[1])
    if columns is None:
        sizes = _sizes(states, precision)
        bounds = np.cumsum(lengths)[:-1]
        kept = np.concatenate([_largest(part, share.hidden) for part in np.split(sizes, bounds)])
        return torch.from_numpy(kept).to(states.device)
    kept_columns = torch.zeros(states.shape[1], dtype=torch.bool, device=states.device)
    kept_columns[torch.tensor(columns, device=states.device)] = True
    return kept_columns.expand_as(states)


def factors_of(kept: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return the factors with which a mean over a row's numbers is a mean over the kept numbers [N, W].

    Args:
        kept: which numbers are kept [N, W].
        lengths: chosen tokens of each example.
    """
    counts = torch.tensor(lengths, device=kept.device)
    examples = torch.arange(len(lengths), device=kept.device).repeat_interleave(counts)
    numbers = torch.zeros(len(lengths), device=kept.device).index_add_(0, examples, kept.sum(1).float())
    scales = (counts * kept.shape[1] / numbers.clamp(min=1)).sqrt()
    return kept * scales[examples][:, None]


def largest_of_batch(states: Tensor, share: float, precision: StoredPrecision) -> Tensor:
    """Return which numbers are among a share of the largest of a batch [N, W], as in the published code."""
    sizes = _sizes(states, precision)
    return torch.from_numpy(sizes >= _nth_largest(sizes, count_numbers(share, sizes.size))).to(states.device)


def _sizes(states: Tensor, precision: StoredPrecision) -> NDArray[Any]:
    """Return numbers [N, W] that are in the order of the sizes of states as they are stored.

    Without their signs, the bits of floating-point numbers are in the order of the numbers.
    """
    stored = states.detach().to("cpu", getattr(torch, precision)).abs()
    return stored.view(torch.int32 if stored.element_size() == 4 else torch.int16).numpy()


def _largest(sizes: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """Return which numbers of an example are the largest, exactly a share of all; of equal ones the first."""
    count = count_numbers(share, sizes.size)
    least = _nth_largest(sizes, count)
    kept: NDArray[np.bool_] = sizes >= least
    if surplus := int(kept.sum()) - count:
        equal = np.flatnonzero(sizes == least)
        kept.flat[equal[len(equal) - surplus :]] = False
    return kept


def _nth_largest(sizes: NDArray[Any], number: int) -> Any:
    place = sizes.size - number
    return np.partition(sizes, place, axis=None)[place]
