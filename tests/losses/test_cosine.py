import pytest
import torch

from kdpipe.losses.cosine import CosineLoss
from kdpipe.signals.rows import pack


def test_it_matches_textbrewer(wave):
    student, teacher = wave(2, 4, 6), wave(2, 4, 6, k=1.3, o=0.5)

    rows = CosineLoss()(student.flatten(0, 1), teacher.flatten(0, 1), "categorical")

    assert rows.mean().item() == pytest.approx(1.1429869835, abs=1e-9)


def test_it_matches_textbrewer_with_a_mask(wave, real_rows):
    student, teacher = wave(2, 4, 6), wave(2, 4, 6, k=1.3, o=0.5)

    rows = CosineLoss()(pack(student, real_rows), pack(teacher, real_rows), "categorical")

    assert rows.mean().item() == pytest.approx(0.9436615944, abs=1e-9)


def test_only_the_direction_counts(wave):
    rows = CosineLoss()(3 * wave(4, 6), wave(4, 6), "categorical")

    torch.testing.assert_close(rows, torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_zero_vector_is_at_right_angles_to_everything(wave):
    student = torch.zeros(2, 6, dtype=torch.float64, requires_grad=True)

    rows = CosineLoss()(student, wave(2, 6), "categorical")
    (gradient,) = torch.autograd.grad(rows.sum(), student)

    assert rows.tolist() == [1.0, 1.0]
    assert gradient.isfinite().all()
