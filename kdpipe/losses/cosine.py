"""Angle between student and teacher hidden states."""

from torch import Tensor
from torch.nn import functional

from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast


class CosineLoss(Loss):
    """One minus the cosine of the angle between two hidden states; 1 where either is zero.

    Reference:
        Sanh et al., DistilBERT (arXiv 1910.01108), section 2; `cos_loss` of airaria/TextBrewer.
    """

    student_kinds = ("hidden_states",)
    teacher_kinds = ("hidden_states",)
    same_width = True

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the distance of each row [N] from two hidden states [N, H]."""
        return 1.0 - functional.cosine_similarity(upcast(student), upcast(target), dim=-1)
