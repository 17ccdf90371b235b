"""Weights of loss terms that change over a training."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Literal

from kdpipe.anatomy.schedules import WeightShape, weight_faults
from kdpipe.errors import KdpipeError


@dataclass(frozen=True)
class WeightSchedule:
    """A weight as a function of the share of the training that is done.

    Args:
        value: the weight that the shape starts from, or scales.
        schedule: `linear` and `cosine` go from the value to `end`; `linear_growth` goes from 0 to the value,
            `linear_decay` from the value to 0; `steps` multiplies the value.
        end: the weight at the end of `linear` and `cosine`.
        at: for `steps`, the shares of the training from which the factors hold, in rising order.
        factors: for `steps`, the factors of the value, one for each share.
        compat: `textbrewer` takes the value for the first step alone, and then 1 in its place, as TextBrewer
            does.

    Raises:
        KdpipeError: the schedule is not known, or the numbers do not fit it.

    Reference:
        `linear_growth` and `linear_decay` of airaria/TextBrewer.
    """

    value: float
    schedule: WeightShape
    end: float = 0.0
    at: Sequence[float] = ()
    factors: Sequence[float] = ()
    compat: Literal["textbrewer"] | None = None

    def __post_init__(self) -> None:
        for name, fault in weight_faults(self):
            raise KdpipeError(f"weight: {name}: {fault}")

    def __call__(self, share: float) -> float:
        """Return the weight after a share of the steps, from 0 at the first step."""
        share = min(max(share, 0.0), 1.0)
        if self.compat and not share:
            return self.value
        value = 1.0 if self.compat else self.value
        match self.schedule:
            case "linear":
                return value + (self.end - value) * share
            case "cosine":
                return self.end + (value - self.end) * (1 + cos(pi * share)) / 2
            case "linear_growth":
                return value * share
            case "linear_decay":
                return value * (1 - share)
        passed = bisect_right(self.at, share)
        return value * self.factors[passed - 1] if passed else value


def weight_at(weight: float | WeightSchedule, share: float) -> float:
    """Return a weight, constant or not, after a share of the steps."""
    return weight(share) if isinstance(weight, WeightSchedule) else weight
