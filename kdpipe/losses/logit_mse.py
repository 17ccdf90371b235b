"""Squared difference of student and teacher logits."""

from torch import Tensor

from kdpipe.losses.loss import OutputKind
from kdpipe.losses.temperature import TemperedLoss, divided
from kdpipe.models.precision import upcast


class LogitMSELoss(TemperedLoss):
    """Mean over the classes of the squared difference of the logits.

    A class that the teacher rules out with a logit of -inf counts for nothing.

    Args:
        temperature: divides the logits of both sides; a schedule gives each row its own temperature.

    Reference:
        Ba and Caruana, Do Deep Nets Really Need to be Deep? (arXiv 1312.6184), regression on
        logits; `kd_mse_loss` of airaria/TextBrewer.
    """

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the mean squared difference of each row [N] from two logits [N, C]."""
        ruled_out = target.isneginf()
        difference = (upcast(student) - upcast(target)).masked_fill(ruled_out, 0.0)
        num_classes = ruled_out.logical_not().sum(-1)
        temperature = self.temperature_of(student, target)
        return divided(difference, temperature).square().sum(-1) / num_classes
