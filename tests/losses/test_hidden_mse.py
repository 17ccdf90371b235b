import pytest
import torch

from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.signals.rows import pack


def test_it_matches_textbrewer(wave):
    student, teacher = wave(2, 4, 6), wave(2, 4, 6, k=1.3, o=0.5)

    rows = HiddenMSELoss()(student.flatten(0, 1), teacher.flatten(0, 1), "categorical")

    assert rows.mean().item() == pytest.approx(1.1459535739, abs=1e-9)


def test_it_matches_textbrewer_with_a_mask(wave, real_rows):
    student, teacher = wave(2, 4, 6), wave(2, 4, 6, k=1.3, o=0.5)

    rows = HiddenMSELoss()(pack(student, real_rows), pack(teacher, real_rows), "categorical")

    assert rows.mean().item() == pytest.approx(0.9288251860, abs=1e-9)


def test_its_gradient_is_twice_the_mean_difference(wave):
    student, teacher = wave(5, 6).requires_grad_(), wave(5, 6, k=1.3)

    HiddenMSELoss()(student, teacher, "categorical").sum().backward()

    torch.testing.assert_close(student.grad, 2 * (student - teacher).detach() / 6)


def test_equal_states_cost_nothing(wave):
    assert HiddenMSELoss()(wave(5, 6), wave(5, 6), "categorical").tolist() == [0] * 5


def test_normalized_it_matches_minidisc(wave, real_rows):
    """Its PKD: `MSELoss` of the last states of all real tokens, each divided by its length."""
    student, teacher = wave(2, 4, 6), wave(2, 4, 6, k=1.3, o=0.5)

    rows = HiddenMSELoss(normalize=True)(pack(student, real_rows), pack(teacher, real_rows), "categorical")

    assert rows.mean().item() == pytest.approx(0.3145538648, abs=1e-9)


def test_normalized_the_lengths_of_states_do_not_count(wave):
    student, teacher = wave(5, 6), wave(5, 6, k=1.3)
    loss = HiddenMSELoss(normalize=True)

    rows = loss(student, teacher, "categorical")

    torch.testing.assert_close(loss(3 * student, teacher / 7, "categorical"), rows)
    assert loss(torch.zeros(1, 6), torch.zeros(1, 6), "categorical").item() == 0
