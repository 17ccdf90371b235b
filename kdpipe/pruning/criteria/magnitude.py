"""Importance as the size of the weights of a unit: a baseline that looks at no data."""

from typing import Any

from kdpipe.models.units import Groups
from kdpipe.pruning.criterion import Criterion, Reduction, Scores
from kdpipe.pruning.weights import sum_by_unit, unit_weights


class Magnitude(Criterion):
    """The sum of |w| over the weights of a unit, the same weights as `weight_gradient`'s.

    Reference:
        Han et al. 2015, Learning both Weights and Connections (arXiv 1506.02626), section 3.
    """

    reads_data = False

    def __init__(self, model: Any, groups: Groups, reduction: Reduction, seed: int) -> None:
        self._body = model.base_model
        self._groups = groups

    def scores(self) -> Scores:
        owned = unit_weights(self._body, self._groups)
        return sum_by_unit(self._body, self._groups, owned, [unit.weight.abs() for unit in owned])
