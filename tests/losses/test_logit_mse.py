import pytest
import torch

from kdpipe.errors import KdpipeError
from kdpipe.losses.logit_mse import LogitMSELoss


def test_it_matches_textbrewer(wave):
    rows = LogitMSELoss(temperature=8.0)(wave(2, 3), wave(2, 3, k=1.3, o=0.5), "categorical")

    assert rows.mean().item() == pytest.approx(0.007943469943524408, abs=1e-9)


def test_a_class_that_the_teacher_rules_out_counts_for_nothing(wave):
    student, teacher = wave(2, 4), wave(2, 4, k=1.3, o=0.5)
    without = LogitMSELoss()(student[:, :3], teacher[:, :3], "categorical")
    teacher[:, 3] = -float("inf")
    student[0, 3] = -float("inf")
    student.requires_grad_()

    rows = LogitMSELoss()(student, teacher, "categorical")
    rows.sum().backward()

    torch.testing.assert_close(rows.detach(), without)
    assert (student.grad[:, 3] == 0).all()


def test_a_temperature_must_be_positive():
    with pytest.raises(KdpipeError, match="temperature"):
        LogitMSELoss(temperature=-2.0)
