"""The choice of a teacher assistant by how good and how small it is.

Reference:
    Zhang et al. 2022, MiniDisc: Minimal Distillation Schedule for Language Model Compression
    (arXiv 2205.14570); what `compat="code"` does: github.com/GeneZC/MiniDisc.
"""

from collections.abc import Mapping
from typing import Literal

Compat = Literal["paper", "code"]


def tradeoff(metric: float, sparsity: float, weight: float) -> float:
    """Return t = m + weight * sparsity.

    Args:
        metric: the candidate's score m on held-out data, in 0 to 1.
        sparsity: the share of the unpruned teacher that it lacks.
        weight: what a whole model's worth of sparsity counts (lambda, 0.2 in the paper).
    """
    return metric + weight * sparsity


def eligible(sparsity: float, target: float, compat: Compat) -> bool:
    """Tell whether a candidate may become the assistant.

    As the paper has it, it must be larger than the student; the published code admits the student itself
    and what is smaller.
    """
    return compat == "code" or sparsity < target


def choose(metrics: Mapping[float, float], target: float, weight: float, compat: Compat = "paper") -> float:
    """Return the sparsity of the candidate with the best tradeoff, of equals the largest model.

    Args:
        metrics: sparsity to metric of each candidate.
        target: sparsity of the student.
        weight: weight of sparsity in the tradeoff.
        compat: `code` admits candidates as small as the student or smaller and then takes the student's size,
            which makes it its own assistant.
    """
    admitted = [sparsity for sparsity in sorted(metrics) if eligible(sparsity, target, compat)]
    best = max(admitted, key=lambda sparsity: tradeoff(metrics[sparsity], sparsity, weight))
    return min(best, target)
