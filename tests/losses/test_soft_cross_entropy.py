import pytest
import torch
from torch.nn import functional

from kdpipe.errors import KdpipeError
from kdpipe.losses.kl import KLLoss
from kdpipe.losses.soft_cross_entropy import SoftCrossEntropyLoss


def test_it_matches_textbrewer(wave):
    loss = SoftCrossEntropyLoss(temperature=8.0, t_squared=False)

    rows = loss(wave(2, 3), wave(2, 3, k=1.3, o=0.5), "categorical")

    assert rows.mean().item() == pytest.approx(1.0984778134417015, abs=1e-9)


def test_it_exceeds_the_divergence_by_the_entropy_of_the_teacher(wave):
    student, teacher = wave(4, 6), wave(4, 6, k=1.3, o=0.5)

    excess = SoftCrossEntropyLoss(2.0)(student, teacher, "categorical") - KLLoss(2.0)(
        student, teacher, "categorical"
    )

    entropy = torch.distributions.Categorical(logits=teacher / 2).entropy()
    torch.testing.assert_close(excess, 4 * entropy, rtol=0, atol=1e-9)


def test_binary_is_binary_cross_entropy_with_soft_labels(wave):
    student, teacher = wave(4, 3), wave(4, 3, k=1.3, o=0.5)

    rows = SoftCrossEntropyLoss(2.0)(student, teacher, "binary")

    expected = functional.binary_cross_entropy_with_logits(
        student / 2, torch.sigmoid(teacher / 2), reduction="none"
    )
    torch.testing.assert_close(rows, 4 * expected.mean(-1), rtol=0, atol=1e-9)


def test_a_temperature_must_be_positive():
    with pytest.raises(KdpipeError, match="temperature"):
        SoftCrossEntropyLoss(temperature=0.0)
