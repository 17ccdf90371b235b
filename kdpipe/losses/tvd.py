"""Total variation distance of two distributions."""

from torch import Tensor

from kdpipe.losses.softened import SoftenedLoss, soften


class TVDLoss(SoftenedLoss):
    """Half the sum of the absolute differences of two softened distributions, in 0 to 1.

    Args:
        temperature: divides the logits of both sides; a schedule gives each row its own temperature.
        t_squared: multiply by the squared temperature, which keeps the size of the gradients
            whatever the temperature.

    Regression has no distribution: its loss is the squared difference of the outputs, and neither option has
    an effect.

    Reference:
        Wen et al., f-Divergence Minimization for Sequence-Level Knowledge Distillation (arXiv 2307.15190).
    """

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float | Tensor) -> Tensor:
        difference = soften(student, temperature) - soften(teacher, temperature)
        return difference.abs().sum(-1) / 2
