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


@pytest.mark.parametrize(("schedule", "numbers", "fault"), [
    ("linaer", {}, "weight: schedule: 'linaer' is not known; did you mean 'linear'"),
    ("linear", {"value": -1}, "weight: value: expected a number from 0, found -1"),
    ("linear", {"value": 0}, "weight: value: the weight would be 0 at every step"),
    ("linear", {"at": (0.5,), "factors": (1,)}, "weight: at: only `steps` has 'at'"),
    ("linear_growth", {"end": 1}, "weight: end: 'linear_growth' has no `end`"),
    ("cosine", {"compat": "textbrewer"}, "weight: compat: TextBrewer has no 'cosine'"),
    ("steps", {}, "weight: at: is required"),
    ("steps", {"at": (0.5,)}, "weight: factors: expected one for each of the 1 shares of `at`, found 0"),
    ("steps", {"at": (0.8, 0.5), "factors": (1, 2)}, "weight: at: expected rising shares"),
    ("steps", {"at": (1,), "factors": (2,)}, "weight: at: expected rising shares between 0 and 1, found 1"),
    ("steps", {"at": (-0.5, 1.5), "factors": (1, 2)}, "weight: at: expected rising shares between 0 and 1"),
    ("linear", {"value": float("inf")}, "weight: value: expected a number from 0, found inf"),
    ("linear", {"end": float("nan")}, "weight: end: expected a number from 0, found nan"),
    ("steps", {"at": (0.5,), "factors": (-2,)}, "weight: factors: expected a number from 0, found -2"),
])  # fmt: skip
def test_numbers_that_do_not_fit_a_shape_are_refused(schedule, numbers, fault):
    with pytest.raises(KdpipeError, match=fault):
        WeightSchedule(**{"value": 1, "schedule": schedule, **numbers})


def test_textbrewer_may_grow_from_nothing():
    growth = WeightSchedule(0, "linear_growth", compat="textbrewer")

    assert [growth(share) for share in FIVE] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
