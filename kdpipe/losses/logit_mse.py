"""Squared difference of student and teacher logits."""

from pydantic import PositiveFloat
from torch import Tensor

from kdpipe.losses.loss import Loss, OutputKind, check_temperature
from kdpipe.models.precision import upcast


class LogitMSELoss(Loss):
    """Mean over the classes of the squared difference of the logits.

    A class that the teacher rules out with a logit of -inf counts for nothing.

    Args:
        temperature: divides the logits of both sides.

    Reference:
        Ba and Caruana, Do Deep Nets Really Need to be Deep? (arXiv 1312.6184), regression on
        logits; `kd_mse_loss` of airaria/TextBrewer.
    """

    student_kinds = ("logits",)
    teacher_kinds = ("logits",)

    def __init__(self, temperature: PositiveFloat = 1.0) -> None:
        self.temperature = check_temperature(temperature)

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the mean squared difference of each row [N] from two logits [N, C]."""
        ruled_out = target.isneginf()
        difference = (upcast(student) - upcast(target)).masked_fill(ruled_out, 0.0)
        num_classes = ruled_out.logical_not().sum(-1)
        return (difference / self.temperature).square().sum(-1) / num_classes
