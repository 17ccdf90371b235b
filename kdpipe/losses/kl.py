"""Kullback-Leibler divergence of the student's distribution from the teacher's."""

from pydantic import PositiveFloat
from torch import Tensor

from kdpipe.losses.loss import Loss, OutputKind, check_temperature
from kdpipe.losses.softened import softened_divergence


class KLLoss(Loss):
    """KL(teacher || student) of the distributions softened by a temperature.

    Args:
        temperature: divides the logits of both sides.
        t_squared: multiply by the squared temperature, which keeps the size of the gradients
            whatever the temperature.

    Regression has no distribution: there the loss is the squared difference of the outputs, and
    neither option has an effect.

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network (arXiv 1503.02531), section 2;
        the divergence as in DistilBERT (Sanh et al., arXiv 1910.01108).
    """

    student_kinds = ("logits",)
    teacher_kinds = ("logits",)

    def __init__(self, temperature: PositiveFloat = 1.0, t_squared: bool = True) -> None:
        self.temperature = check_temperature(temperature)
        self.scale = temperature**2 if t_squared else 1.0

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the divergence of each row [N] from student and teacher logits [N, C]."""
        scale = 1.0 if kind == "regression" else self.scale
        return scale * softened_divergence(student, target, kind, self.temperature, relative=True)
