"""Importance drawn at random: the baseline that others must beat."""

from typing import Any

import torch

from kdpipe.models.units import UNITS, Groups
from kdpipe.pruning.criterion import Criterion, Reduction, Scores
from kdpipe.seeds import IMPORTANCE, draw_seed


class Random(Criterion):
    """Uniform draws from 0 to 1."""

    reads_data = False

    def __init__(self, model: Any, groups: Groups, reduction: Reduction, seed: int) -> None:
        self._counts = {kind: [group.count(model.base_model) for group in groups[kind]] for kind in UNITS}
        self._generator = torch.Generator().manual_seed(draw_seed(seed, IMPORTANCE))

    def scores(self) -> Scores:
        return {
            kind: [torch.rand(count, generator=self._generator) for count in counts]
            for kind, counts in self._counts.items()
        }
