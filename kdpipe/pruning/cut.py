"""Smaller models: cut by a sparsity, or to one shape for all blocks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdpipe.anatomy.units import count_removed
from kdpipe.errors import ModelError
from kdpipe.models.extraction import extract_blocks
from kdpipe.models.family import family_of
from kdpipe.models.pruned import Pruned, factorize, places_of, prune_units, ranks_of
from kdpipe.models.units import UNITS, UnitKind

Ranks = Mapping[UnitKind, list[Tensor]]


@dataclass(frozen=True)
class UniformShape:
    """Heads and neurons of each block, the number of lowest blocks that stay, the rank of word embeddings.

    None leaves a size as it is.
    """

    heads: int | None = None
    neurons: int | None = None
    layers: int | None = None
    embedding_rank: int | None = None


def ancestor_counts(model: PreTrainedModel) -> dict[UnitKind, int]:
    """Return the numbers of heads and neurons of a model's unpruned ancestor."""
    if isinstance(model, Pruned) and model.config.ancestor_counts:
        return dict(model.config.ancestor_counts)
    body = model.base_model
    groups = family_of(model).groups(body)
    return {kind: sum(group.count(body) for group in groups[kind]) for kind in UNITS}


def ranks_from(model: PreTrainedModel, scores: Mapping[UnitKind, list[Tensor]]) -> Ranks:
    """Return the ranks of a model's units by new scores; units that the model has lost have the lowest."""
    totals = ancestor_counts(model)
    return {
        kind: rank_units(scores[kind], above=totals[kind] - sum(len(place) for place in scores[kind]))
        for kind in UNITS
    }


def is_smaller(sparsity: float, model: PreTrainedModel) -> bool:
    """Tell whether a sparsity leaves fewer units than a model has, counted in whole units."""
    removed = _removed(sparsity, model)
    return min(removed) >= 0 and max(removed) > 0


def is_no_larger(sparsity: float, model: PreTrainedModel) -> bool:
    """Tell whether a sparsity leaves as many units as a model has, or fewer."""
    return min(_removed(sparsity, model)) >= 0


def _removed(sparsity: float, model: PreTrainedModel) -> list[int]:
    """Return how many more heads and neurons a sparsity removes; a negative number would add units."""
    totals, ranks = ancestor_counts(model), ranks_of(model)
    gone = {kind: totals[kind] - sum(map(len, ranks[kind])) if ranks else 0 for kind in UNITS}
    return [count_removed(sparsity, totals[kind]) - gone[kind] for kind in UNITS]


def units_at(
    model: PreTrainedModel, sparsity: float, ranks: Ranks | None = None
) -> dict[UnitKind, list[Tensor]]:
    """Return the units that `prune_to_sparsity` leaves in each place, best first."""
    ranks = ranks or _carried(model)
    totals = ancestor_counts(model)
    units = {}
    for kind in UNITS:
        removed = count_removed(sparsity, totals[kind])
        gone = totals[kind] - sum(len(place) for place in ranks[kind])
        if removed < gone:
            raise ModelError(
                f"sparsity {sparsity:g} removes {removed} of the ancestor's {totals[kind]} {kind}s, but the"
                f" model has lost {gone} already; raise the sparsity, or prune a model with more {kind}s"
            )
        # A model that was pruned to a shape may have lost units of high ranks.
        units[kind] = keep_ranked(rank_units(ranks[kind], above=gone), removed)
    return units


def prune_to_sparsity(
    model: PreTrainedModel, sparsity: float, ranks: Ranks | None = None, *, drop_empty_bias: bool = False
) -> PreTrainedModel:
    """Return a model without a share of its unpruned ancestor's heads, and the same share of its neurons.

    Without `ranks` a pruned model is cut by the ranks that it carries. `drop_empty_bias` is as of
    `prune_units`.

    Raises:
        ModelError: the model carries no ranks, or has lost more units already.
    """
    ranks = ranks or _carried(model)
    return prune_units(model, units_at(model, sparsity, ranks), ranks, drop_empty_bias)


def prune_to_shape(
    model: PreTrainedModel, shape: UniformShape, ranks: Ranks | None = None, *, drop_empty_bias: bool = False
) -> PreTrainedModel:
    """Return a model whose blocks all have one shape; other arguments as of `prune_to_sparsity`.

    Raises:
        ModelError: the model carries no ranks, or the shape is larger than the model.

    Reference:
        Liu et al. 2021, ROSITA (arXiv 2103.11367), section 3.
    """
    if shape.heads is not None or shape.neurons is not None:
        ranks = ranks or _carried(model)
        counts: dict[UnitKind, int | None] = {"head": shape.heads, "neuron": shape.neurons}
        units = {kind: _uniform(kind, ranks[kind], counts[kind]) for kind in UNITS}
        model = prune_units(model, units, ranks, drop_empty_bias)
    if shape.layers is not None:
        depth = len(family_of(model).blocks(model.base_model))
        _check("layers", shape.layers, depth)
        model = extract_blocks(model, range(shape.layers))
    if shape.embedding_rank is not None:
        model = factorize(model, shape.embedding_rank)
    return model


def name_units(model: PreTrainedModel) -> dict[UnitKind, list[str]] | None:
    """Return the ancestor's units that a pruned model still has in each place, such as `0-3, 7`."""
    places = places_of(model)
    if places is None:
        return None
    return {kind: [_ranges(sorted(units.tolist())) for units in places[kind]] for kind in UNITS}


def _ranges(numbers: Iterable[int]) -> str:
    """Return ascending numbers as text, in which a run of numbers is its first and its last number."""
    runs = [list(run) for _, run in groupby(enumerate(numbers), lambda numbered: numbered[1] - numbered[0])]
    return ", ".join(f"{run[0][1]}-{run[-1][1]}" if len(run) > 1 else f"{run[0][1]}" for run in runs)


def _uniform(kind: UnitKind, ranks: list[Tensor], count: int | None) -> list[Tensor]:
    if count is None:
        return [torch.arange(len(place)) for place in ranks]
    _check(f"{kind}s", count, min(len(place) for place in ranks))
    return keep_best(ranks, count)


def _check(what: str, count: int, most: int) -> None:
    if count > most:
        raise ModelError(f"expected at most {most} {what}, as the model has, found {count}")


def _carried(model: PreTrainedModel) -> Ranks:
    ranks = ranks_of(model)
    if ranks is None:
        raise ModelError(
            "the model carries no ranking of its units, as no stage has pruned it; give `importance`"
        )
    return ranks


def rank_units(scores: Sequence[Tensor], above: int = 0) -> list[Tensor]:
    """Return the rank of every unit among all units of its kind, by scores of each place [units].

    The least important unit has the lowest rank, after the `above` units that the model has lost.

    Among equal scores, the earlier place has the lower rank, and within a place the earlier unit.

    Reference:
        Zhang et al. 2022, MiniDisc (arXiv 2205.14570): heads and neurons are ranked apart, over all layers.
    """
    order = torch.sort(torch.cat(list(scores)).cpu(), stable=True).indices
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order)) + above
    return list(torch.split(ranks, [len(place) for place in scores]))


def keep_ranked(ranks: Sequence[Tensor], removed: int) -> list[Tensor]:
    """Return the units of each place that stay when so many of the lowest ranks are removed, best first.

    In this order, the units of a smaller model are the first units of a larger model.
    """
    return [_best(place)[: int((place >= removed).sum())] for place in ranks]


def keep_best(ranks: Sequence[Tensor], count: int) -> list[Tensor]:
    """Return so many of the best units of each place, best first."""
    return [_best(place)[:count] for place in ranks]


def _best(ranks: Tensor) -> Tensor:
    return torch.sort(ranks, descending=True, stable=True).indices
