"""Ranges that settings share: a value outside would fail late, take all memory, or never end."""

import math
from typing import Annotated, Any, Union, get_args

from pydantic import AfterValidator, Field

from kdpipe.config.settings.explanation import alternatives

MANY, MOST_THREADS = 10**9, 1024


def bounded(kind: Any, **bounds: Any) -> Any:
    """Return a type whose numbers lie in a range of `pydantic.Field`; other values stay as they are."""
    optional = (None,) if type(None) in get_args(kind) else ()
    kinds = [Annotated[one, Field(**bounds)] if one in (int, float) else one for one in alternatives(kind)]
    return Union[(*kinds, *optional)]


def whole_or_share(value: float) -> float:
    """Return a number of steps, or a share of all steps below 1; refuse a fraction above 1."""
    if value > 1 and value != int(value):
        raise ValueError(f"expected a whole number of steps, or below 1 a share of them all, found {value}")
    return value


def _add_up(probabilities: tuple[float, ...]) -> tuple[float, ...]:
    if not math.isclose(sum(probabilities), 1, rel_tol=1e-6):
        raise ValueError(f"expected probabilities that add up to 1, found the sum {sum(probabilities):g}")
    return probabilities


# The seeds that the generators of NumPy and of PyTorch both take.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1, le=MANY)]
Tokens = Annotated[int, Field(ge=1, le=10**6)]
Size = Annotated[int, Field(ge=1, le=2**20)]
# Steps between two evaluations and the like.
Steps = Annotated[float, Field(gt=0, le=MANY), AfterValidator(whole_or_share)]
LearningRate = Annotated[float, Field(ge=0, le=1000)]
Probabilities = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], AfterValidator(_add_up)]
