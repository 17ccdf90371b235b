"""Divergences of a student's softened distribution from its teacher's, row by row."""

from typing import Any

import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from kdpipe.losses.loss import OutputKind
from kdpipe.losses.temperature import TemperatureSchedule, TemperedLoss, divided
from kdpipe.models.precision import upcast


class SoftenedLoss(TemperedLoss):
    """A divergence of two distributions that a temperature softens."""

    def __init__(
        self, temperature: PositiveFloat | TemperatureSchedule = 1.0, t_squared: bool = True
    ) -> None:
        super().__init__(temperature)
        self.t_squared = t_squared

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the divergence of each row [N] from student and teacher logits [N, C].

        Each of the C labels of `binary` is a distribution over on and off, and the loss is their mean;
        `regression` has no distribution and gives the mean squared difference.
        """
        if kind == "regression":
            return functional.mse_loss(upcast(student), upcast(target), reduction="none").mean(-1)
        if kind == "binary":
            return self._scaled(_on_and_off(student), _on_and_off(target)).mean(-1)
        return self._scaled(student, target)

    def _scaled(self, student: Tensor, teacher: Tensor) -> Tensor:
        temperature = self.temperature_of(student, teacher)
        rows = self.divergence(student, teacher, temperature)
        return rows * temperature**2 if self.t_squared else rows

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float | Tensor) -> Tensor:
        """Return the divergence of each row [...] of logits [..., C]; temperatures as of `divided`."""
        raise NotImplementedError


def cross_entropy(student: Tensor, teacher: Tensor, temperature: float | Tensor) -> Tensor:
    """Return the cross-entropy of each row [...] under the teacher's distribution.

    The teacher may rule classes out with logits of -inf, and so may the student.

    Args:
        student: logits [..., C].
        teacher: logits [..., C].
        temperature: the divisor of the logits, or the divisor of each row [...].
    """
    return _cross_entropy(student, soften(teacher, temperature), temperature)


def relative_entropy(student: Tensor, teacher: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    """Return KL(teacher || student) of each row [...]; arguments as of `cross_entropy`."""
    probabilities = soften(teacher, temperature)
    own_entropy: Tensor = torch.special.entr(probabilities).sum(-1)
    return _cross_entropy(student, probabilities, temperature) - own_entropy


def soften(logits: Tensor, temperature: float | Tensor) -> Tensor:
    """Return the probabilities of logits [..., C] at a temperature, or at one for each row."""
    probabilities: Tensor = functional.softmax(divided(logits, temperature), dim=-1)
    return probabilities


def log_soften(logits: Tensor, temperature: float | Tensor) -> Tensor:
    """Return the logarithms of `soften`, finite also for a class that is ruled out.

    A product with its probability, 0, is then 0 and not NaN.
    """
    logarithms = functional.log_softmax(divided(logits, temperature), dim=-1)
    return logarithms.clamp(min=torch.finfo(logarithms.dtype).min)


def _on_and_off(logits: Tensor) -> Tensor:
    # A sigmoid is a softmax over the logit and 0.
    return torch.stack((logits, torch.zeros_like(logits)), dim=-1)


def _cross_entropy(student: Tensor, probabilities: Tensor, temperature: float | Tensor) -> Tensor:
    rows: Tensor = _CrossEntropy.apply(student, probabilities, temperature)  # type: ignore[no-untyped-call]
    return rows


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy with soft targets that stores one tensor for its gradient.

    Composed operations that are equally safe from -inf store three tensors and take half as long again over a
    vocabulary.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, probabilities: Tensor, temperature: float | Tensor) -> Tensor:
        log_likelihood = functional.log_softmax(divided(logits, temperature), dim=-1)
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
