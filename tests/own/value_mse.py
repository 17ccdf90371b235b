"""Squared difference of the values in the heads of student and teacher."""

from torch import Tensor

from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast


class ValueMSELoss(Loss):
    """Mean over heads and features of the squared difference of two value vectors.

    Args:
        scale: multiplies the difference.
    """

    student_kinds = ("values",)
    teacher_kinds = ("values",)
    same_heads = True

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the mean squared difference of each row [N] from values [N, A, D]."""
        return (self.scale * (upcast(student) - upcast(target))).square().mean((1, 2))
