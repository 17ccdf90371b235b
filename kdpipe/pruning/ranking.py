"""From scores to the units that stay: one ranking of all heads of a model, and one of all its neurons."""

from collections.abc import Sequence

import torch
from torch import Tensor


def rank_units(scores: Sequence[Tensor], above: int = 0) -> list[Tensor]:
    """Return the rank of every unit among all of its kind, the least important first.

    Of equal scores the earlier place, and in it the earlier unit, has the lower rank.

    Args:
        scores: scores by place [units].
        above: units of the unpruned ancestor that are gone, whose ranks are below all others.

    Reference:
        Zhang et al. 2022, MiniDisc (arXiv 2205.14570): heads and neurons are ranked apart, over all layers.
    """
    order = torch.sort(torch.cat(list(scores)).cpu(), stable=True).indices
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order)) + above
    return list(torch.split(ranks, [len(own) for own in scores]))


def keep_ranked(ranks: Sequence[Tensor], removed: int) -> list[Tensor]:
    """Return the units of each place that stay when so many of the ancestor's are removed, best first.

    That order makes what a smaller model keeps the beginning of what a larger one does.

    Args:
        ranks: ranks by place [units].
        removed: units of the ancestor that go, the lowest ranks.
    """
    return [_best(own)[: int((own >= removed).sum())] for own in ranks]


def keep_best(ranks: Sequence[Tensor], count: int) -> list[Tensor]:
    """Return the best units of each place, best first.

    Args:
        ranks: ranks by place [units].
        count: how many stay in each place.
    """
    return [_best(own)[:count] for own in ranks]


def _best(ranks: Tensor) -> Tensor:
    return torch.sort(ranks, descending=True, stable=True).indices
