"""`lr_scheduler_kwargs`: the options of each schedule of the learning rate, and their ranges.

`transformers.optimization` says what each option means; for `reduce_lr_on_plateau`, PyTorch does.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.bounds import MANY, LearningRate

UnitInterval = Annotated[float, Field(ge=0, le=1)]
StepCount = Annotated[int, Field(ge=0, le=MANY)]
Curve = Literal["linear", "cosine", "1-sqrt"]


class RateSchedule(Settings):
    """A schedule without options."""

    # transformers takes the values as they stand in the config.
    model_config = ConfigDict(strict=True)


class Cosine(RateSchedule):
    """A cosine."""

    num_cycles: float = Field(default=0.5, ge=0, le=MANY)


class Restarts(RateSchedule):
    """A cosine that starts again."""

    num_cycles: int = Field(default=1, ge=1, le=MANY)


class Polynomial(RateSchedule):
    """A power of the steps that are left."""

    lr_end: LearningRate = 1e-7
    power: float = Field(default=1.0, ge=0, le=1000)


class InverseSquareRoot(RateSchedule):
    """The inverse of the square root of the steps."""

    timescale: int | None = Field(default=None, ge=1, le=MANY)


class Plateau(RateSchedule):
    """Less whenever a metric gets no better; which way is better follows from the metric."""

    factor: float = Field(default=0.1, gt=0, lt=1)
    patience: StepCount = 10
    threshold: UnitInterval = 1e-4
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: StepCount = 0
    min_lr: LearningRate = 0.0
    eps: UnitInterval = 1e-8


class CosineToLeast(RateSchedule):
    """A cosine down to a least learning rate."""

    num_cycles: float = Field(default=0.5, ge=0, le=MANY)
    min_lr: LearningRate | None = None
    min_lr_rate: UnitInterval | None = None

    @model_validator(mode="after")
    def _one_least(self) -> Self:
        if (self.min_lr is None) == (self.min_lr_rate is None):
            raise ValueError("expected one of `min_lr` and `min_lr_rate`")
        return self


class WarmCosineToLeast(CosineToLeast):
    """A cosine down to a least learning rate, after a warmup from a share of it."""

    warmup_lr_rate: UnitInterval | None = None


class StableThenDecay(RateSchedule):
    """A warmup, a constant learning rate, and a decay."""

    num_decay_steps: StepCount
    num_stable_steps: StepCount | None = None
    warmup_type: Curve = "linear"
    decay_type: Curve = "cosine"
    min_lr_ratio: UnitInterval = 0.0
    num_cycles: float = Field(default=0.5, ge=0, le=MANY)


SCHEDULES: Mapping[str, type[RateSchedule]] = {
    "linear": RateSchedule,
    "cosine": Cosine,
    "cosine_with_restarts": Restarts,
    "polynomial": Polynomial,
    "constant": RateSchedule,
    "constant_with_warmup": RateSchedule,
    "inverse_sqrt": InverseSquareRoot,
    "reduce_lr_on_plateau": Plateau,
    "cosine_with_min_lr": CosineToLeast,
    "cosine_warmup_with_min_lr": WarmCosineToLeast,
    "warmup_stable_decay": StableThenDecay,
}
