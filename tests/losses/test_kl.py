import pytest
import torch
from torch.nn import functional

from kdpipe.errors import KdpipeError
from kdpipe.losses.hard import HardLoss
from kdpipe.losses.kl import KLLoss


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_it_is_the_divergence_of_the_softened_distributions(wave, temperature):
    student, teacher = wave(5, 7), wave(5, 7, k=1.3, o=0.5)

    rows = KLLoss(temperature)(student, teacher, "categorical")

    log_q = functional.log_softmax(student / temperature, -1)
    p = functional.softmax(teacher / temperature, -1)
    expected = functional.kl_div(log_q, p, reduction="none").sum(-1) * temperature**2
    torch.testing.assert_close(rows, expected, rtol=0, atol=1e-9)


def test_question_answering_matches_the_weeknotes(wave):
    student = wave(2, 4), wave(2, 4, o=0.3)
    teacher = wave(2, 4, k=1.3, o=0.5), wave(2, 4, k=1.1, o=0.2)
    labels = torch.tensor([1, 2]), torch.tensor([2, 3])

    soft = torch.stack(
        [KLLoss(2.0)(s, t, "categorical") for s, t in zip(student, teacher, strict=True)]
    ).mean()
    hard = torch.stack([HardLoss()(s, y, "categorical") for s, y in zip(student, labels, strict=True)]).mean()

    assert soft.item() == pytest.approx(0.1849760313461352, abs=1e-9)
    assert hard.item() == pytest.approx(1.5599172767481502, abs=1e-9)
    assert (0.5 * soft + 0.5 * hard).item() == pytest.approx(0.8724466540471427, abs=1e-9)


@pytest.mark.parametrize("kind", ["categorical", "binary", "regression"])
def test_a_student_like_its_teacher_costs_nothing(wave, kind):
    rows = KLLoss(2.0)(wave(3, 5), wave(3, 5), kind)

    torch.testing.assert_close(rows, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_binary_averages_the_divergence_over_the_labels(wave):
    student, teacher = wave(4, 3), wave(4, 3, k=1.3, o=0.5)

    rows = KLLoss(2.0)(student, teacher, "binary")

    p, q = torch.sigmoid(teacher / 2), torch.sigmoid(student / 2)
    per_label = p * torch.log(p / q) + (1 - p) * torch.log((1 - p) / (1 - q))
    torch.testing.assert_close(rows, 4 * per_label.mean(-1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_must_be_positive(temperature):
    with pytest.raises(KdpipeError, match=f"above 0, found {temperature}"):
        KLLoss(temperature)
