"""Cross-entropy of the student's distribution under the teacher's."""

from torch import Tensor

from kdpipe.losses.softened import SoftenedLoss, cross_entropy


class SoftCrossEntropyLoss(SoftenedLoss):
    """Cross-entropy with the teacher's softened distribution as soft labels.

    Its gradient is `KLLoss`'s; its value is larger by the teacher's entropy.

    Args:
        temperature: divides the logits of both sides; a schedule gives each row its own temperature.
        t_squared: multiply by the squared temperature, which keeps the size of the gradients
            whatever the temperature.

    Regression has no distribution: its loss is the squared difference of the outputs, and neither option has
    an effect.

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network (arXiv 1503.02531), section 2;
        `kd_ce_loss` of airaria/TextBrewer, which has no squared temperature.
    """

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float | Tensor) -> Tensor:
        return cross_entropy(student, teacher, temperature)
