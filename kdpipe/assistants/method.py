"""The contract of a method that chooses a teacher assistant."""

from collections.abc import Mapping
from typing import Literal, Protocol

Compat = Literal["paper", "code"]


class Method(Protocol):
    """Chooses an assistant among sizes of a teacher, by how good and how small they are."""

    def __init__(self, target: float, weight: float, compat: Compat = "paper") -> None:
        """Take the student's size.

        Args:
            target: sparsity of the student.
            weight: what a whole model's worth of sparsity counts against the metric.
            compat: `code` for what the published code does.
        """

    def admits(self, sparsity: float) -> bool:
        """Tell whether a size may become the assistant."""

    def tradeoff(self, metric: float, sparsity: float) -> float:
        """Return what sizes are compared by, from a size's metric on held-out data; more is better."""

    def score(self, metrics: Mapping[float, float]) -> float:
        """Return what states of a training are compared by, from the metric of each size by its sparsity."""

    def choose(self, metrics: Mapping[float, float]) -> float:
        """Return the sparsity of the assistant, from the metric of each size by its sparsity."""
