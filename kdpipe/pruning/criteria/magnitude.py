"""Importance as the size of the weights of a unit: a baseline that looks at no data."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kdpipe.models.units import Groups
from kdpipe.pruning.criterion import Losses, Reduction, Scores
from kdpipe.pruning.weights import sum_by_unit, unit_weights


class Magnitude:
    """The sum of |w| over the weights of a unit, which are those of `weight_gradient`.

    Reference:
        Han et al. 2015, Learning both Weights and Connections (arXiv 1506.02626), section 3.
    """

    reads_data = False

    def __init__(self, model: Any, groups: Groups, reduction: Reduction, seed: int) -> None:
        self._body = model.base_model
        self._groups = groups

    def add(self, batch: Mapping[str, Tensor], losses: Losses) -> None:
        """Take no batch into account."""

    def scores(self) -> Scores:
        """Return the scores by kind and place [units]."""
        owned = unit_weights(self._body, self._groups)
        return sum_by_unit(self._body, self._groups, owned, [own.weight.abs() for own in owned])
