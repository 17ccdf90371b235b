"""Ranges that settings share: what lies outside would fail late, take all memory, or never end."""

from typing import Annotated, Any, Union, get_args

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from kdpipe.config.settings.explanation import alternatives

MANY, MOST_THREADS = 10**9, 1024


def bounded(kind: Any, **bounds: Any) -> Any:
    """Return a type whose numbers lie in a range, as `pydantic.Field` takes it; all else is as it was."""
    optional = (None,) if type(None) in get_args(kind) else ()
    kinds = [Annotated[one, Field(**bounds)] if one in (int, float) else one for one in alternatives(kind)]
    return Union[(*kinds, *optional)]


def whole_or_share(value: float) -> float:
    """Return a number of steps, which below 1 is a share of all, and refuse one and a half of them."""
    if value > 1 and value != int(value):
        raise PydanticCustomError(
            "steps",
            "expected a whole number of steps, or below 1 a share of them all, found {value}",
            {"value": value},
        )
    return value


# What the generators of NumPy and of PyTorch both take.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1, le=MANY)]
Tokens = Annotated[int, Field(ge=1, le=10**6)]
Size = Annotated[int, Field(ge=1, le=2**20)]
# Steps between two evaluations and the like.
Steps = Annotated[float, Field(gt=0, le=MANY), AfterValidator(whole_or_share)]
LearningRate = Annotated[float, Field(ge=0, le=1000)]
