"""The logits of several teachers as the logits of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from kdpipe.errors import KdpipeError, quoted
from kdpipe.losses.loss import OutputKind
from kdpipe.losses.temperature import TemperatureSchedule
from kdpipe.models.precision import upcast


@dataclass(frozen=True)
class Ensemble:
    """The weighted mean of several teachers.

    Outputs of a regression are averaged as they are, whatever is averaged of classes.

    Args:
        average: `logits`, or the `probabilities` that the temperature of the loss softens. A loss then gets
            logits that have the mean probabilities at its temperature.
        weights: how much each teacher counts, in their order; () for equally.

    Raises:
        KdpipeError: what is averaged is not known, or a weight is no finite number above 0.

    Reference:
        Mean logits as `MultiTeacherDistiller` of airaria/TextBrewer; mean softened probabilities as You et
        al., Learning from Multiple Teacher Networks (KDD 2017).
    """

    average: Literal["logits", "probabilities"] = "logits"
    weights: Sequence[float] = ()

    def __post_init__(self) -> None:
        if self.average not in ("logits", "probabilities"):
            raise KdpipeError(f"ensemble: expected `logits` or `probabilities`, found {quoted(self.average)}")
        if not all(weight > 0 and isfinite(weight) for weight in self.weights):
            raise KdpipeError(f"ensemble: expected weights above 0, found {quoted(list(self.weights))}")

    def __call__(self, teachers: Sequence[Tensor], kind: OutputKind, temperature: float = 1.0) -> Tensor:
        """Return the logits [N, C] of all teachers together.

        Args:
            teachers: the logits of each teacher [N, C].
            kind: the meaning of the logits.
            temperature: the temperature that softens probabilities.
        """
        weights = self.weights or [1.0] * len(teachers)
        # Numbers of Python: a tensor of them would be copied to the device at each step.
        shares = [weight / sum(weights) for weight in weights]
        outputs = torch.stack([upcast(logits) for logits in teachers])
        if self.average == "logits" or kind == "regression":
            return torch.stack([share * side for share, side in zip(shares, outputs, strict=True)]).sum(0)
        sides = outputs / temperature
        if kind == "binary":
            on, off = (functional.logsigmoid(side) for side in (sides, -sides))
            return temperature * (_log_mean(on, shares) - _log_mean(off, shares))
        return temperature * _log_mean(functional.log_softmax(sides, dim=-1), shares)

    def temperature_of(self, loss: Any) -> float:
        """Return the temperature at which a loss compares probabilities.

        Raises:
            KdpipeError: each row has its own temperature, which is known too late.
        """
        temperature = getattr(loss, "temperature", 1.0)
        if not isinstance(temperature, TemperatureSchedule):
            return float(temperature)
        if self.average == "logits":
            return 1.0
        raise KdpipeError(
            "ensemble: mean probabilities need one temperature, found a schedule; average `logits`"
        )


MEAN_LOGITS = Ensemble()


def _log_mean(logarithms: Tensor, shares: Sequence[float]) -> Tensor:
    weighted = [side + log(share) for share, side in zip(shares, logarithms, strict=True)]
    return torch.stack(weighted).logsumexp(0)
