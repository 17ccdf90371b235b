"""Generalised Jensen-Shannon divergence of two distributions."""

from math import log
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from kdpipe.errors import KdpipeError
from kdpipe.losses.softened import SoftenedLoss, log_soften
from kdpipe.losses.temperature import TemperatureSchedule


class JSDLoss(SoftenedLoss):
    """Divergence of both softened distributions from their mixture, beta times teacher and the rest student.

    It is beta KL(teacher || mixture) + (1 - beta) KL(student || mixture), and never more than ln 2.

    Args:
        temperature: divides the logits of both sides; a schedule gives each row its own temperature.
        t_squared: multiply by the squared temperature, which keeps the size of the gradients
            whatever the temperature.
        beta: the teacher's share of the mixture. Near 0 the gradient is beta times the gradient of `KLLoss`,
            near 1 it is 1 - beta times the gradient of `ReverseKLLoss`.

    Regression has no distribution: its loss is the squared difference of the outputs, and no option has an
    effect.

    Reference:
        Agarwal et al., On-Policy Distillation of Language Models (arXiv 2306.13649), section 2.
    """

    def __init__(
        self,
        temperature: PositiveFloat | TemperatureSchedule = 1.0,
        t_squared: bool = True,
        beta: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    ) -> None:
        super().__init__(temperature, t_squared)
        if not 0 < beta < 1:
            raise KdpipeError(f"beta: expected a share between 0 and 1, found {beta}")
        self.beta = beta

    def divergence(self, student: Tensor, teacher: Tensor, temperature: float | Tensor) -> Tensor:
        sides = log_soften(teacher, temperature), log_soften(student, temperature)
        shares = self.beta, 1 - self.beta
        mixture = torch.logaddexp(sides[0] + log(shares[0]), sides[1] + log(shares[1]))
        theirs, ours = (
            share * side.exp() * (side - mixture) for share, side in zip(shares, sides, strict=True)
        )
        return (theirs + ours).sum(-1)
