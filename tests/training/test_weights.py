"""Weights that change over a training."""

import pytest

from kdpipe.errors import KdpipeError
from kdpipe.training.weights import WeightSchedule, weight_at

FIVE = [step / 5 for step in range(5)]


@pytest.mark.parametrize(("schedule", "expected"), [
    (WeightSchedule(5, "linear"), [5, 4, 3, 2, 1]),
    (WeightSchedule(1, "linear", end=2), [1, 1.2, 1.4, 1.6, 1.8]),
    (WeightSchedule(2, "linear_growth"), [0, 0.4, 0.8, 1.2, 1.6]),
    (WeightSchedule(2, "linear_decay"), [2, 1.6, 1.2, 0.8, 0.4]),
    (WeightSchedule(2, "steps", at=(0.4, 0.8), factors=(0.5, 0.1)), [2, 2, 1, 1, 0.2]),
    # TextBrewer replaces the value after the first step.
    (WeightSchedule(5, "linear_decay", compat="textbrewer"), [5, 0.8, 0.6, 0.4, 0.2]),
    (WeightSchedule(5, "linear_growth", compat="textbrewer"), [5, 0.2, 0.4, 0.6, 0.8]),
])  # fmt: skip
def test_each_step_has_its_weight(schedule, expected):
    assert [schedule(share) for share in FIVE] == pytest.approx(expected)


def test_a_cosine_begins_and_ends_flat():
    cosine = WeightSchedule(3, "cosine", end=1)

    assert [cosine(share) for share in (0, 0.5, 1)] == pytest.approx([3, 2, 1])
    assert 3 - cosine(0.01) < 0.001


@pytest.mark.parametrize("name", ["linear", "cosine", "linear_decay", "linear_growth"])
def test_after_the_end_a_weight_stays(name):
    schedule = WeightSchedule(3, name)

    assert schedule(1.5) == schedule(1)
    assert schedule(-0.5) == schedule(0)


def test_a_number_is_the_same_at_every_step():
    assert {weight_at(0.3, share) for share in FIVE} == {0.3}


@pytest.mark.parametrize(
    ("at", "factors"), [((0.5,), ()), ((), (2,)), ((0.8, 0.5), (1, 2)), ((0.5, 0.5), (1, 2)), ((1,), (2,))]
)
def test_steps_without_their_factors_are_refused(at, factors):
    with pytest.raises(
        KdpipeError, match="expected rising shares between 0 and 1, each with a factor, found"
    ):
        WeightSchedule(1, "steps", at=at, factors=factors)
