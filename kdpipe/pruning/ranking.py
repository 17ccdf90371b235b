"""Rankings of units: one of all heads of a model, one of all its neurons; and the units that stay."""

from collections.abc import Sequence

import torch
from torch import Tensor


def rank_units(scores: Sequence[Tensor], above: int = 0) -> list[Tensor]:
    """Return the rank of every unit among all units of its kind; the least important has the lowest rank.

    Among equal scores, the earlier place has the lower rank, and within a place the earlier unit.

    Args:
        scores: scores by place [units].
        above: number of units that the model has lost, which have the lowest ranks.

    Reference:
        Zhang et al. 2022, MiniDisc (arXiv 2205.14570): heads and neurons are ranked apart, over all layers.
    """
    order = torch.sort(torch.cat(list(scores)).cpu(), stable=True).indices
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order)) + above
    return list(torch.split(ranks, [len(place) for place in scores]))


def keep_ranked(ranks: Sequence[Tensor], removed: int) -> list[Tensor]:
    """Return the units of each place that stay when the lowest ranks are removed, best first.

    In this order, the units of a smaller model are the first units of a larger model.

    Args:
        ranks: ranks by place [units].
        removed: number of the ancestor's units that are removed.
    """
    return [_best(place)[: int((place >= removed).sum())] for place in ranks]


def keep_best(ranks: Sequence[Tensor], count: int) -> list[Tensor]:
    """Return the best units of each place, best first.

    Args:
        ranks: ranks by place [units].
        count: number of units that stay in each place.
    """
    return [_best(place)[:count] for place in ranks]


def _best(ranks: Tensor) -> Tensor:
    return torch.sort(ranks, descending=True, stable=True).indices
