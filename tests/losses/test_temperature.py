"""Temperatures that differ from row to row."""

import pytest
import torch

from kdpipe.errors import KdpipeError
from kdpipe.losses.jsd import JSDLoss
from kdpipe.losses.kl import KLLoss
from kdpipe.losses.logit_mse import LogitMSELoss
from kdpipe.losses.reverse_kl import ReverseKLLoss
from kdpipe.losses.soft_cross_entropy import SoftCrossEntropyLoss
from kdpipe.losses.temperature import TemperatureSchedule
from kdpipe.losses.tvd import TVDLoss

FLSW = TemperatureSchedule(4, "flsw", beta=1, gamma=2)
CWSM = TemperatureSchedule(4, "cwsm", beta=1)
TEMPERED = [KLLoss, SoftCrossEntropyLoss, ReverseKLLoss, JSDLoss, TVDLoss, LogitMSELoss]


def logits(wave):
    return wave(2, 3), wave(2, 3, k=1.3, o=0.5)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [(FLSW, [4.513657947, 3.486342053]), (CWSM, [3.901639323, 4.098360677])],
    ids=["flsw", "cwsm"],
)
def test_they_match_textbrewer(wave, schedule, expected):
    assert schedule(*logits(wave)).tolist() == pytest.approx(expected, abs=1e-9)


def test_the_cross_entropy_matches_textbrewer(wave):
    student, teacher = logits(wave)

    rows = SoftCrossEntropyLoss(FLSW, t_squared=False)(student, teacher, "categorical")

    assert rows.mean().item() == pytest.approx(1.0972910807048881, abs=1e-9)


def test_none_is_below_a_tenth(wave):
    temperatures = TemperatureSchedule(1, "flsw", beta=100)(*logits(wave))

    assert temperatures.min().item() == pytest.approx(0.1)
    assert temperatures.max() > 1


@pytest.mark.parametrize("loss_class", TEMPERED)
@pytest.mark.parametrize("kind", ["categorical", "binary"])
def test_each_row_is_softened_by_its_own(wave, loss_class, kind):
    student, teacher = logits(wave)
    temperatures = [loss_class(FLSW).temperature_of(student, teacher)[row].item() for row in range(2)]

    rows = loss_class(FLSW)(student, teacher, "categorical")

    for row, temperature in enumerate(temperatures):
        alone = loss_class(temperature)(student[row : row + 1], teacher[row : row + 1], "categorical")
        torch.testing.assert_close(rows[row : row + 1], alone)
    assert loss_class(FLSW)(student, teacher, kind).isfinite().all()


@pytest.mark.parametrize("loss_class", TEMPERED)
def test_the_gradient_leaves_temperatures_alone(wave, loss_class):
    student, teacher = logits(wave)
    fixed = loss_class(FLSW).temperature_of(student, teacher)

    grads = []
    for temperature in (FLSW, lambda *sides: fixed):
        loss, ours = loss_class(FLSW), student.clone().requires_grad_()
        loss.temperature_of = temperature
        loss(ours, teacher, "categorical").sum().backward()
        grads.append(ours.grad)

    torch.testing.assert_close(*grads)


def test_classes_that_are_ruled_out_change_no_temperature(wave):
    sides = logits(wave)
    more = [torch.cat((side, torch.full((2, 1), -torch.inf)), dim=-1) for side in sides]

    for schedule in (FLSW, CWSM):
        torch.testing.assert_close(schedule(*more), schedule(*sides))


def test_the_extremes_of_the_last_call_are_logged(wave):
    loss, (student, teacher) = KLLoss(FLSW), logits(wave)
    assert loss.logged() == {}

    loss(student, teacher, "categorical")

    assert {name: value.item() for name, value in loss.logged().items()} == {
        "lowest temperature": pytest.approx(3.486342053),
        "highest temperature": pytest.approx(4.513657947),
    }
    assert KLLoss(4.0).logged() == {}


@pytest.mark.parametrize("gamma", [0.5, 1.5])
def test_logits_that_are_alike_have_the_mean_temperature(gamma):
    # Of directions that are alike, some cosines are rounded to more than 1.
    logits = 4000 * torch.randn(64, 300, generator=torch.Generator().manual_seed(0))

    temperatures = TemperatureSchedule(4, "flsw", gamma=gamma)(logits, logits)

    torch.testing.assert_close(temperatures, torch.full((64,), 4.0), rtol=0, atol=0.01)


@pytest.mark.parametrize(("schedule", "numbers", "fault"), [
    ("flws", {}, "temperature: schedule: 'flws' is not known; did you mean 'flsw'"),
    ("cwsm", {"gamma": 2}, "temperature: gamma: only `flsw` has 'gamma'"),
    ("flsw", {"gamma": 0}, "temperature: gamma: expected a number above 0, found 0"),
    ("flsw", {"beta": -1}, "temperature: beta: expected a number from 0, found -1"),
    ("flsw", {"beta": float("inf")}, "temperature: beta: expected a number from 0, found inf"),
])  # fmt: skip
def test_numbers_that_do_not_fit_a_schedule_are_refused(schedule, numbers, fault):
    with pytest.raises(KdpipeError, match=fault):
        TemperatureSchedule(4, schedule, **numbers)


def test_no_rows_log_the_mean():
    loss = KLLoss(FLSW)

    loss(torch.zeros(0, 3), torch.zeros(0, 3), "categorical")

    assert {name: value.item() for name, value in loss.logged().items()} == {
        "lowest temperature": 4,
        "highest temperature": 4,
    }


@pytest.mark.parametrize(
    "temperature", [0.0, -1.0, float("inf"), {"value": 2}, TemperatureSchedule(0, "cwsm")]
)
def test_only_positive_temperatures_are_taken(temperature):
    with pytest.raises(KdpipeError, match="temperature: expected a finite number above 0"):
        KLLoss(temperature)
