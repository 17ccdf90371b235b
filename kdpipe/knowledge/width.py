"""Which numbers of the chosen tokens' states are compared.

Reference:
    Lu et al. 2021, Marginal Utility Diminishes (arXiv 2106.05691); `main.py` of
    github.com/llyx97/Marginal-Utility-Diminishes.
"""

from collections.abc import Sequence

import torch
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
        sizes = states.to(getattr(torch, precision)).abs().float()
        kept = [
            _largest(part.flatten(), share.hidden).view_as(part) for part in torch.split(sizes, [*lengths])
        ]
        return torch.cat(kept)
    kept_columns = torch.zeros(states.shape[1], dtype=torch.bool, device=states.device)
    kept_columns[torch.tensor(columns, device=states.device)] = True
    return kept_columns.expand_as(states)


def factors_of(kept: Tensor, lengths: Sequence[int], share: float) -> Tensor:
    """Return the factors with which a mean over a row's numbers is a mean over the kept numbers [N, W].

    Args:
        kept: which numbers are kept [N, W].
        lengths: chosen tokens of each example.
        share: the share that is kept of each example.
    """
    width = kept.shape[1]
    scales = [(length * width / count_numbers(share, length * width)) ** 0.5 for length in lengths]
    counts = torch.tensor(lengths, device=kept.device)
    rows = torch.tensor(scales, device=kept.device).repeat_interleave(counts)
    return kept * rows[:, None]


def largest_of_batch(states: Tensor, share: float) -> Tensor:
    """Return which numbers are among a share of the largest of a batch [N, W], as in the published code."""
    sizes = states.abs()
    return sizes >= _nth_largest(sizes.flatten(), count_numbers(share, sizes.numel()))


def _largest(sizes: Tensor, share: float) -> Tensor:
    """Return which numbers of an example are the largest, exactly a share of all; of equal ones the first."""
    count = count_numbers(share, sizes.numel())
    least = _nth_largest(sizes, count)
    above, equal = sizes > least, sizes == least
    return above | equal & (equal.cumsum(0) <= count - above.sum())


def _nth_largest(sizes: Tensor, number: int) -> Tensor:
    return sizes.kthvalue(sizes.numel() - number + 1).values
