"""Divergences of a student's softened distribution from its teacher's, row by row."""

from typing import Any

import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from kdpipe.losses.loss import Loss, OutputKind, check_temperature
from kdpipe.models.precision import upcast


class SoftenedLoss(Loss):
    """A divergence of two distributions that a temperature softens."""

    student_kinds = ("logits",)
    teacher_kinds = ("logits",)

    def __init__(self, temperature: PositiveFloat = 1.0, t_squared: bool = True) -> None:
        self.temperature = check_temperature(temperature)
        self.scale = temperature**2 if t_squared else 1.0

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the divergence of each row [N] from student and teacher logits [N, C].

        Each of the C labels of `binary` is a distribution over on and off, and the loss is their mean;
        `regression` has no distribution and gives the mean squared difference.
        """
        if kind == "regression":
            return functional.mse_loss(upcast(student), upcast(target), reduction="none").mean(-1)
        if kind == "binary":
            return self.scale * self.divergence(_on_and_off(student), _on_and_off(target)).mean(-1)
        return self.scale * self.divergence(student, target)

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the divergence of each row [...] of logits [..., C]."""
        raise NotImplementedError


def cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of each row [...] under the teacher's distribution.

    The teacher may rule classes out with logits of -inf, and so may the student.

    Args:
        student: logits [..., C].
        teacher: logits [..., C].
        temperature: the divisor of the logits.
    """
    return _cross_entropy(student, soften(teacher, temperature), temperature)


def relative_entropy(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return KL(teacher || student) of each row [...]; arguments as of `cross_entropy`."""
    probabilities = soften(teacher, temperature)
    own_entropy: Tensor = torch.special.entr(probabilities).sum(-1)
    return _cross_entropy(student, probabilities, temperature) - own_entropy


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Return the probabilities of logits [..., C] at a temperature."""
    probabilities: Tensor = functional.softmax(upcast(logits) / temperature, dim=-1)
    return probabilities


def log_soften(logits: Tensor, temperature: float) -> Tensor:
    """Return the logarithms of `soften`, finite also for a class that is ruled out.

    A product with its probability, 0, is then 0 and not NaN.
    """
    logarithms = functional.log_softmax(upcast(logits) / temperature, dim=-1)
    return logarithms.clamp(min=torch.finfo(logarithms.dtype).min)


def _on_and_off(logits: Tensor) -> Tensor:
    # A sigmoid is a softmax over the logit and 0.
    return torch.stack((logits, torch.zeros_like(logits)), dim=-1)


def _cross_entropy(student: Tensor, probabilities: Tensor, temperature: float) -> Tensor:
    rows: Tensor = _CrossEntropy.apply(student, probabilities, temperature)  # type: ignore[no-untyped-call]
    return rows


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
