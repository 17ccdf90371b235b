"""What a model must be to be chosen, besides good: small, fast, or of a size at most."""

from typing import Annotated

from pydantic import Field, PositiveFloat

from kdpipe.config.settings.base import ModelName, Settings
from kdpipe.config.settings.bounds import Size, Tokens


class SmallestSettings(Settings):
    """The smallest model whose score is good enough.

    Args:
        within: how much worse its score may be, in the unit of the metric.
        of: the model that it may be so much worse than; by default the best of the candidates.
    """

    within: Annotated[float, Field(ge=0)]
    of: ModelName | None = None


class FastestSettings(SmallestSettings):
    """The fastest model whose score is good enough, by what `measure` measures.

    Args:
        within: how much worse its score may be, in the unit of the metric.
        of: the model that it may be so much worse than; by default the best of the candidates.
        batch: texts of the batch that is timed.
        length: tokens of each text.
    """

    batch: Size = 1
    length: Tokens = 128


class LimitSettings(Settings):
    """What the chosen model may have at most.

    Args:
        megabytes: the size of its weights on disk, in 10^6 bytes.
    """

    megabytes: PositiveFloat


class BestSettings(Settings):
    """The best of the models that are not too large.

    Args:
        at_most: what the model may have at most.
    """

    at_most: LimitSettings


# The settings of which a choice has one at most.
CONSTRAINTS = ("smallest", "fastest", "best")
