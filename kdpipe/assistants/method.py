"""The contract of a method that chooses a teacher assistant."""

from collections.abc import Mapping
from typing import Literal, Protocol

Compat = Literal["paper", "code"]


class Method(Protocol):
    """Chooses an assistant among sizes of a teacher, by their metric and their sparsity."""

    def __init__(self, target: float, weight: float, compat: Compat = "paper") -> None:
        """Take the student's size.

        Args:
            target: sparsity of the student.
            weight: weight of the sparsity against the metric.
            compat: `code` to do as the published code does.
        """

    def admits(self, sparsity: float) -> bool:
        """Tell whether a size may become the assistant."""

    def tradeoff(self, metric: float, sparsity: float) -> float:
        """Return the tradeoff of a size, from its metric on held-out data; more is better."""

    def score(self, metrics: Mapping[float, float]) -> float:
        """Return the score of a checkpoint of a training, from the metric of each size by its sparsity."""

    def choose(self, metrics: Mapping[float, float]) -> float:
        """Return the sparsity of the assistant, from the metric of each size by its sparsity."""
