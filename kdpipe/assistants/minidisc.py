"""MiniDisc: the assistant with the best sum of metric and sparsity.

Reference:
    Zhang et al. 2022, MiniDisc: Minimal Distillation Schedule for Language Model Compression
    (arXiv 2205.14570); what `compat="code"` does: github.com/GeneZC/MiniDisc.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kdpipe.assistants.method import Compat


@dataclass(frozen=True)
class MiniDisc:
    """The choice of an assistant.

    Args:
        target: sparsity of the student.
        weight: what a whole model's worth of sparsity counts (lambda, 0.2 in the paper).
        compat: `code` admits sizes as small as the student or smaller and then takes the student's, which
            makes it its own assistant; for a smaller one it counts with its metric alone.
    """

    target: float
    weight: float
    compat: Compat = "paper"

    def admits(self, sparsity: float) -> bool:
        """Tell whether a size may become the assistant: in the paper, if it is larger than the student."""
        return self.compat == "code" or sparsity < self.target

    def tradeoff(self, metric: float, sparsity: float) -> float:
        """Return t = m + lambda * sparsity, of a metric m in 0 to 1."""
        return metric + self.weight * sparsity

    def score(self, metrics: Mapping[float, float]) -> float:
        """Return the best tradeoff; where a size smaller than the student has it, the student's metric."""
        best = self._best(metrics)
        return metrics[self.target] if best > self.target else self.tradeoff(metrics[best], best)

    def choose(self, metrics: Mapping[float, float]) -> float:
        """Return the sparsity of the size with the best tradeoff, of equals the largest model."""
        return min(self._best(metrics), self.target)

    def _best(self, metrics: Mapping[float, float]) -> float:
        admitted = [sparsity for sparsity in sorted(metrics) if self.admits(sparsity)]
        return max(admitted, key=lambda sparsity: self.tradeoff(metrics[sparsity], sparsity))
