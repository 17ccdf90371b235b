"""Divergence of a student's softened distribution from its teacher's, row by row."""

from typing import Any, ClassVar

import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from kdpipe.losses.loss import Loss, OutputKind, check_temperature
from kdpipe.models.precision import upcast


class SoftenedLoss(Loss):
    """A divergence of two distributions that a temperature softens.

    Attributes:
        relative: whether the teacher's own entropy is subtracted.
    """

    student_kinds = ("logits",)
    teacher_kinds = ("logits",)
    relative: ClassVar[bool]

    def __init__(self, temperature: PositiveFloat = 1.0, t_squared: bool = True) -> None:
        self.temperature = check_temperature(temperature)
        self.scale = temperature**2 if t_squared else 1.0

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the divergence of each row [N] from student and teacher logits [N, C]."""
        scale = 1.0 if kind == "regression" else self.scale
        divergence = softened_divergence(student, target, kind, self.temperature, relative=self.relative)
        return scale * divergence


def softened_divergence(
    student: Tensor, teacher: Tensor, kind: OutputKind, temperature: float, *, relative: bool
) -> Tensor:
    """Return the cross-entropy or the relative entropy (KL) of each row, [N].

    The teacher may rule classes out with logits of -inf, and so may the student.

    Args:
        student: logits [N, C].
        teacher: logits [N, C].
        kind: `binary` takes each of the C labels for a distribution over on and off, and averages
            over the labels; `regression` has no distribution and gives the mean squared difference.
        temperature: the divisor of the logits.
        relative: subtract the teacher's own entropy, which does not depend on the student.
    """
    if kind == "regression":
        return functional.mse_loss(upcast(student), upcast(teacher), reduction="none").mean(-1)
    if kind == "binary":
        student, teacher = _on_and_off(student), _on_and_off(teacher)
    probabilities = functional.softmax(upcast(teacher) / temperature, dim=-1)
    rows: Tensor = _CrossEntropy.apply(student, probabilities, temperature)  # type: ignore[no-untyped-call]
    if relative:
        rows = rows - torch.special.entr(probabilities).sum(-1)
    return rows.mean(-1) if kind == "binary" else rows


def _on_and_off(logits: Tensor) -> Tensor:
    # A sigmoid is a softmax over the logit and 0.
    return torch.stack((logits, torch.zeros_like(logits)), dim=-1)


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy with soft targets that stores one tensor for its gradient.

    Composed operations that are equally safe from -inf store three tensors and take half as long again over a
    vocabulary.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, probabilities: Tensor, temperature: float) -> Tensor:
        log_likelihood = functional.log_softmax(upcast(logits) / temperature, dim=-1)
        residual = log_likelihood.exp().sub_(probabilities)
        ctx.save_for_backward(residual.to(logits.dtype))
        ctx.temperature = temperature
        # 0 * -inf would be NaN, but a class that neither side thinks possible costs nothing.
        log_likelihood.clamp_(min=torch.finfo(log_likelihood.dtype).min)
        return log_likelihood.mul_(probabilities).sum(-1).neg()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (residual,) = ctx.saved_tensors
        scale = (gradient / ctx.temperature).unsqueeze(-1)
        return residual * scale.to(residual.dtype), None, None
