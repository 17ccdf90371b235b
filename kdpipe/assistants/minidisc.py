"""MiniDisc: the assistant with the best sum of metric and sparsity.

Reference:
    Zhang et al. 2022, MiniDisc: Minimal Distillation Schedule for Language Model Compression
    (arXiv 2205.14570); `compat="code"` follows github.com/GeneZC/MiniDisc.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kdpipe.assistants.method import Compat


@dataclass(frozen=True)
class MiniDisc:
    """The choice of an assistant.

    Args:
        target: sparsity of the student.
        weight: weight of the sparsity (lambda, 0.2 in the paper).
        compat: `code` also admits the student's size and smaller sizes. If one of these is the best, the
            student's size becomes the assistant. If a smaller size is the best, the score is the metric of
            the student's size alone.
    """

    target: float
    weight: float
    compat: Compat = "paper"

    def admits(self, sparsity: float) -> bool:
        """Tell whether a size may become the assistant: in the paper, if it is larger than the student."""
        return self.compat == "code" or sparsity < self.target

    def tradeoff(self, metric: float, sparsity: float) -> float:
        """Return t = m + lambda * sparsity, for a metric m from 0 to 1."""
        return metric + self.weight * sparsity

    def score(self, metrics: Mapping[float, float]) -> float:
        """Return the best tradeoff, or the student's metric if a size below the student's is the best."""
        best = self._best(metrics)
        return metrics[self.target] if best > self.target else self.tradeoff(metrics[best], best)

    def choose(self, metrics: Mapping[float, float]) -> float:
        """Return the sparsity of the size with the best tradeoff; among equal sizes, of the largest model."""
        return min(self._best(metrics), self.target)

    def _best(self, metrics: Mapping[float, float]) -> float:
        admitted = [sparsity for sparsity in sorted(metrics) if self.admits(sparsity)]
        return max(admitted, key=lambda sparsity: self.tradeoff(metrics[sparsity], sparsity))
