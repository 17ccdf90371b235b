"""Numbers that change: weights over a training, temperatures from row to row."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from kdpipe.anatomy.schedules import TemperatureShape, WeightShape, temperature_faults, weight_faults
from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.bounds import MANY
from kdpipe.config.settings.explanation import mistake

Number = Annotated[float, Field(ge=0, le=MANY)]
# The squares of temperatures are neither 0 nor infinite.
PositiveTemperature = Annotated[float, Field(ge=1e-3, le=1e6)]


class WeightSettings(Settings):
    """A weight that changes over the training, by the share of its steps that is done.

    Args:
        value: the weight that the shape starts from, or scales.
        schedule: `linear` and `cosine` go from the value to `end`; `linear_growth` goes from 0 to the value,
            `linear_decay` from the value to 0; `steps` multiplies the value.
        end: the weight at the end of `linear` and `cosine`.
        at: for `steps`, the shares of the training from which the factors hold, in rising order.
        factors: for `steps`, the factors of the value (not of each other), one for each share.
        compat: `textbrewer` takes the value for the first step alone, and then 1 in its place, as TextBrewer
            does.
    """

    value: Number = 1.0
    schedule: WeightShape
    end: Number = 0.0
    at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    factors: tuple[Number, ...] = ()
    compat: Literal["textbrewer"] | None = None

    @model_validator(mode="after")
    def _fits_its_shape(self) -> Self:
        # A dump of settings, as a stage reads it, has the fields with their defaults too.
        for name, fault in weight_faults(self):
            raise mistake((name,), fault)
        return self


class TemperatureSettings(Settings):
    """A temperature for each row, higher for rows that the student does well, and 0.1 at least.

    Args:
        value: the mean of the temperatures over the rows of a micro-batch of one process.
        schedule: `flsw` goes by how unlike the logits of student and teacher are, `cwsm` by how unsure the
            student is.
        beta: the factor of the differences from the mean.
        gamma: for `flsw`, the exponent of how unlike the logits are.
    """

    value: PositiveTemperature = 1.0
    schedule: TemperatureShape
    beta: Number = 1.0
    gamma: Annotated[float, Field(gt=0, le=100)] = 1.0

    @model_validator(mode="after")
    def _fits_its_shape(self) -> Self:
        for name, fault in temperature_faults(self):
            raise mistake((name,), fault)
        return self


def _with_defaults(value: Any) -> Any:
    """Return the schedule that the name of one stands for."""
    return {"schedule": value} if value in get_args(TemperatureShape) else value


# pydantic puts the tag into the place of a mistake, and `explanation` leaves a part out that is no key of the
# mapping. So the tag of a schedule is not `schedule`, which is a key.
def _which(value: Any) -> str:
    """Tell of what a value is to be read, so that a message speaks of this alone."""
    return "schedule of" if isinstance(value, dict | Settings) else "number"


Weight = Annotated[
    Annotated[Number, Tag("number")] | Annotated[WeightSettings, Tag("schedule of")], Discriminator(_which)
]
Temperature = Annotated[
    Annotated[PositiveTemperature, Tag("number")] | Annotated[TemperatureSettings, Tag("schedule of")],
    Discriminator(_which),
    BeforeValidator(_with_defaults),
]
