"""What is wrong with weights that change over a training, and with temperatures that differ by row."""

from collections.abc import Iterator
from math import inf
from typing import Any, Literal, get_args

from kdpipe.errors import suggest

WeightShape = Literal["linear", "cosine", "linear_growth", "linear_decay", "steps"]
TemperatureShape = Literal["flsw", "cwsm"]


def weight_faults(weight: Any) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a weight that changes, each after the name of the number.

    Args:
        weight: has the attributes of `kdpipe.training.weights.WeightSchedule`.
    """
    shape, factors = weight.schedule, [("factors", factor) for factor in weight.factors]
    if shape not in get_args(WeightShape):
        yield "schedule", f"{shape!r} is not known; {suggest(shape, get_args(WeightShape))}"
    for name, number in (("value", weight.value), ("end", weight.end), *factors):
        if not 0 <= number < inf:
            yield name, f"expected a number from 0, found {number}"
    if weight.end and shape not in ("linear", "cosine"):
        yield "end", f"{shape!r} has no `end`; remove this"
    if weight.compat and not shape.startswith("linear_"):
        yield "compat", f"TextBrewer has no {shape!r}; remove this"
    yield from _step_faults(weight)
    if not (weight.value or weight.end or weight.compat):
        yield "value", "the weight would be 0 at every step"


def _step_faults(weight: Any) -> Iterator[tuple[str, str]]:
    for name in ("at", "factors"):
        if getattr(weight, name) and weight.schedule != "steps":
            yield name, f"only `steps` has {name!r}; remove this"
    if weight.schedule == "steps" and not weight.at:
        yield "at", "is required: the shares of the training at which the weight changes"
    if list(weight.at) != sorted({share for share in weight.at if 0 < share < 1}):
        yield "at", f"expected rising shares between 0 and 1, found {', '.join(map(str, weight.at))}"
    if len(weight.factors) != len(weight.at):
        what = f"expected one for each of the {len(weight.at)} shares of `at`, found {len(weight.factors)}"
        yield "factors", what


def temperature_faults(temperature: Any) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a temperature that differs by row, each after the name of the number.

    Args:
        temperature: has the attributes of `kdpipe.losses.temperature.TemperatureSchedule`.
    """
    shape = temperature.schedule
    if shape not in get_args(TemperatureShape):
        yield "schedule", f"{shape!r} is not known; {suggest(shape, get_args(TemperatureShape))}"
    if not 0 <= temperature.beta < inf:
        yield "beta", f"expected a number from 0, found {temperature.beta}"
    if not 0 < temperature.gamma < inf:
        yield "gamma", f"expected a number above 0, found {temperature.gamma}"
    if shape == "cwsm" and temperature.gamma != 1:
        yield "gamma", "only `flsw` has 'gamma'; remove this"
