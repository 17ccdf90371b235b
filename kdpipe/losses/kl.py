"""Kullback-Leibler divergence of the student's distribution from the teacher's."""

from torch import Tensor

from kdpipe.losses.softened import SoftenedLoss, relative_entropy


class KLLoss(SoftenedLoss):
    """KL(teacher || student) of the distributions softened by a temperature.

    Args:
        temperature: divides the logits of both sides; a schedule gives each row its own temperature.
        t_squared: multiply by the squared temperature, which keeps the size of the gradients
            whatever the temperature.

    Regression has no distribution: its loss is the squared difference of the outputs, and neither option has
    an effect.

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network (arXiv 1503.02531), section 2;
        the divergence as in DistilBERT (Sanh et al., arXiv 1910.01108).
    """

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float | Tensor) -> Tensor:
        return relative_entropy(student, teacher, temperature)
