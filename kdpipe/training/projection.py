"""Linear maps from the student's width to the teacher's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

ACTIVATIONS = {"linear": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class Projection:
    """Maps the student's rows to the teacher's width (`proj` of TextBrewer's matches).

    Args:
        kind: linear, or linear followed by relu or tanh.
        shared: all pairs of layers share one map, instead of a map for each pair.
        learning_rate: the learning rate of the maps; None for the learning rate of the training.
    """

    kind: Literal["linear", "relu", "tanh"] = "linear"
    shared: bool = False
    learning_rate: float | None = None

    def maps(self, widths: Sequence[tuple[int, int]], seed: int) -> nn.ModuleList:
        """Return new maps, by the teacher's width and the student's of each; a single one if it is shared."""
        generator = torch.Generator().manual_seed(seed)
        maps = nn.ModuleList()
        for teacher_width, student_width in widths[:1] if self.shared else widths:
            linear = nn.Linear(student_width, teacher_width)
            nn.init.normal_(linear.weight, std=0.02, generator=generator)
            nn.init.zeros_(linear.bias)
            maps.append(nn.Sequential(linear, ACTIVATIONS[self.kind]()))
        return maps
