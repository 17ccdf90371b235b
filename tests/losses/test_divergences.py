"""Reverse KL, Jensen-Shannon divergence and total variation distance, by their definitions."""

import math

import pytest
import torch

from kdpipe.errors import KdpipeError
from kdpipe.losses.jsd import JSDLoss
from kdpipe.losses.kl import KLLoss
from kdpipe.losses.reverse_kl import ReverseKLLoss
from kdpipe.losses.tvd import TVDLoss

INFINITY = float("inf")
EACH = pytest.mark.parametrize("loss_class", [ReverseKLLoss, JSDLoss, TVDLoss])


def distributions(wave, temperature=2.0):
    """Return logits of both sides [5, 7], and their probabilities at a temperature."""
    student, teacher = wave(5, 7), wave(5, 7, k=1.3, o=0.5)
    return student, teacher, (student / temperature).softmax(-1), (teacher / temperature).softmax(-1)


def relative_entropy(p, q):
    return (p * (p / q).log()).sum(-1)


def test_reverse_kl_is_the_divergence_of_the_teacher_from_the_student(wave):
    student, teacher, q, p = distributions(wave)

    rows = ReverseKLLoss(2.0)(student, teacher, "categorical")

    torch.testing.assert_close(rows, 4 * relative_entropy(q, p), rtol=0, atol=1e-12)


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
def test_jsd_is_the_divergence_from_the_mixture(wave, beta):
    student, teacher, q, p = distributions(wave)
    mixture = beta * p + (1 - beta) * q

    rows = JSDLoss(2.0, t_squared=False, beta=beta)(student, teacher, "categorical")

    expected = beta * relative_entropy(p, mixture) + (1 - beta) * relative_entropy(q, mixture)
    torch.testing.assert_close(rows, expected, rtol=0, atol=1e-12)


def test_jsd_is_bounded_and_reached_where_the_sides_share_no_class():
    far = torch.tensor([[1e3, 0.0]], dtype=torch.float64), torch.tensor([[0.0, 1e3]], dtype=torch.float64)

    assert JSDLoss()(*far, "categorical").item() == pytest.approx(math.log(2))


def gradient(loss, student, teacher):
    student = student.clone().requires_grad_()
    return torch.autograd.grad(loss(student, teacher, "categorical").sum(), student)[0]


@pytest.mark.parametrize(("beta", "limit"), [(1e-6, KLLoss()), (1 - 1e-6, ReverseKLLoss())])
def test_jsd_goes_over_into_the_divergences_of_either_side(wave, beta, limit):
    student, teacher, *_ = distributions(wave)

    found = gradient(JSDLoss(beta=beta), student, teacher) / min(beta, 1 - beta)

    torch.testing.assert_close(found, gradient(limit, student, teacher), rtol=0, atol=1e-4)


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.5, float("nan")])
def test_the_teachers_share_lies_between_0_and_1(beta):
    with pytest.raises(KdpipeError, match="beta: expected a share between 0 and 1"):
        JSDLoss(beta=beta)


def test_tvd_is_half_the_sum_of_differences(wave):
    student, teacher, q, p = distributions(wave)

    rows = TVDLoss(2.0, t_squared=False)(student, teacher, "categorical")

    torch.testing.assert_close(rows, (q - p).abs().sum(-1) / 2, rtol=0, atol=1e-12)


@EACH
@pytest.mark.parametrize("kind", ["categorical", "binary", "regression"])
def test_a_student_like_its_teacher_costs_nothing(wave, loss_class, kind):
    rows = loss_class(2.0)(wave(3, 5), wave(3, 5), kind)

    torch.testing.assert_close(rows, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)


@EACH
def test_a_class_that_one_side_rules_out_gives_finite_values(wave, loss_class):
    for side in range(2):
        logits = [wave(2, 4), wave(2, 4, k=1.3, o=0.5)]
        logits[side][:, 3] = -INFINITY
        student = logits[0].requires_grad_()

        rows = loss_class(2.0)(student, logits[1], "categorical")
        rows.sum().backward()

        assert rows.isfinite().all()
        assert student.grad.isfinite().all()


def test_reverse_kl_leaves_out_a_class_that_the_teacher_rules_out(wave):
    student, teacher = wave(2, 4), wave(2, 4, k=1.3, o=0.5)
    teacher[:, 3] = -INFINITY

    rows = ReverseKLLoss(2.0)(student, teacher, "categorical")

    expected = ReverseKLLoss(2.0)(student[:, :3], teacher[:, :3], "categorical")
    torch.testing.assert_close(rows, expected)
