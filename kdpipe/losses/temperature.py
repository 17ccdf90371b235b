"""Temperatures that soften logits: a number, or a schedule that gives each row its own temperature."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn import functional

from kdpipe.anatomy.schedules import TemperatureShape, temperature_faults
from kdpipe.errors import KdpipeError, quoted
from kdpipe.losses.loss import Loss
from kdpipe.models.precision import upcast

LOWEST = 0.1
# They keep a division by zero away.
SHORTEST, UNSURE = 1e-4, 1e-3


@dataclass(frozen=True)
class TemperatureSchedule:
    """A temperature for each row, higher for rows that the student does well.

    The mean over the rows of the micro-batch of one process is the value. No temperature is below 0.1.

    Args:
        value: the mean of the temperatures.
        schedule: `flsw` goes by how unlike the logits of student and teacher are, `cwsm` by how unsure the
            student is.
        beta: the factor of the differences from the mean.
        gamma: the exponent of how unlike the logits are, for `flsw`.

    Raises:
        KdpipeError: the schedule is not known, or the numbers do not fit it.

    Reference:
        Wen et al., Preparing Lessons (arXiv 1911.07471); `flsw` and `cwsm` of airaria/TextBrewer, which take
        temperatures of any size.
    """

    value: float
    schedule: TemperatureShape
    beta: float = 1.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        for name, fault in temperature_faults(self):
            raise KdpipeError(f"temperature: {name}: {fault}")

    @torch.no_grad()
    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the temperature of each row [...] from logits of both sides [..., C]."""
        difficulty = self._unlikeness(student, teacher) if self.schedule == "flsw" else _unsureness(student)
        return (self.value + self.beta * (difficulty.mean() - difficulty)).clamp(min=LOWEST)

    def _unlikeness(self, student: Tensor, teacher: Tensor) -> Tensor:
        directions = [_direction(side) for side in (student, teacher)]
        cosine: Tensor = (directions[0] * directions[1]).sum(-1)
        # The cosine of like directions may be rounded to more than 1.
        return (1 - cosine).clamp(min=0) ** self.gamma


class TemperedLoss(Loss):
    """A loss on logits that a temperature divides.

    Raises:
        KdpipeError: the temperature, or the value of its schedule, is not a positive finite number.
    """

    student_kinds = ("logits",)
    teacher_kinds = ("logits",)

    def __init__(self, temperature: PositiveFloat | TemperatureSchedule = 1.0) -> None:
        value = temperature.value if isinstance(temperature, TemperatureSchedule) else temperature
        if not isinstance(value, int | float) or not (value > 0 and isfinite(value)):
            raise KdpipeError(
                f"temperature: expected a finite number above 0, found {quoted(value)}; "
                "1 leaves the logits as they are, more softens them"
            )
        self.temperature = temperature
        self._logged: Mapping[str, Tensor] = {}

    @property
    def by_row(self) -> bool:
        """Whether the loss of a row follows from the row alone; the mean of a schedule is over the rows."""
        return not isinstance(self.temperature, TemperatureSchedule)

    def temperature_of(self, student: Tensor, teacher: Tensor) -> float | Tensor:
        """Return the temperature of all rows, or of each row [...], from logits [..., C]."""
        if not isinstance(self.temperature, TemperatureSchedule):
            return self.temperature
        temperatures = self.temperature(student, teacher)
        if temperatures.numel():
            lowest, highest = temperatures.aminmax()
        else:
            # All processes log the same names.
            lowest = highest = temperatures.new_tensor(self.temperature.value)
        self._logged = {"lowest temperature": lowest, "highest temperature": highest}
        return temperatures

    def logged(self) -> Mapping[str, Tensor]:
        return self._logged


def divided(logits: Tensor, temperature: float | Tensor) -> Tensor:
    """Return logits [..., C] divided by the temperature of all rows, or of each row [...]."""
    return upcast(logits) / (temperature if isinstance(temperature, float | int) else temperature[..., None])


def _direction(logits: Tensor) -> Tensor:
    # Classes that are ruled out have logits of -inf.
    finite = upcast(logits).masked_fill(logits.isinf(), 0.0)
    lengths: Tensor = finite.norm(dim=-1, keepdim=True)
    return finite / (lengths + SHORTEST)


def _unsureness(student: Tensor) -> Tensor:
    return 1 / (functional.softmax(upcast(student), dim=-1).amax(-1) + UNSURE)
