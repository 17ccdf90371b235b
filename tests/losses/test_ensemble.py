"""Several teachers as one: the mean of their logits, or of the probabilities that a temperature softens."""

import pytest
import torch

from kdpipe.errors import KdpipeError
from kdpipe.losses.ensemble import MEAN_LOGITS, Ensemble
from kdpipe.losses.kl import KLLoss
from kdpipe.losses.soft_cross_entropy import SoftCrossEntropyLoss
from kdpipe.losses.temperature import TemperatureSchedule

MEAN_PROBABILITIES = Ensemble("probabilities")
# Probabilities and their logits are two ways to one number, in float64.
CLOSE = {"rtol": 0, "atol": 1e-12}


@pytest.fixture
def teachers(wave):
    return [wave(2, 3, k=1.3, o=0.5), wave(2, 3, k=0.4, o=0.2)]


def test_the_mean_of_logits_is_textbrewers(wave, teachers):
    loss = SoftCrossEntropyLoss(temperature=8, t_squared=False)
    rows = loss(wave(2, 3), MEAN_LOGITS(teachers, "categorical"), "categorical")
    assert rows.mean().item() == pytest.approx(1.0991456687680323, abs=1e-9)


@pytest.mark.parametrize("temperature", [1, 4])
def test_mean_probabilities_are_those_that_the_temperature_softens(teachers, temperature):
    weighted = Ensemble("probabilities", (3, 1))
    logits = weighted(teachers, "categorical", temperature)
    first, second = ((side / temperature).softmax(-1) for side in teachers)
    torch.testing.assert_close((logits / temperature).softmax(-1), 0.75 * first + 0.25 * second, **CLOSE)


def test_cross_entropy_with_mean_probabilities_is_the_mean_of_cross_entropies(wave, teachers):
    loss, student = SoftCrossEntropyLoss(temperature=2), wave(2, 3)
    together = loss(student, MEAN_PROBABILITIES(teachers, "categorical", 2), "categorical")
    apart = [loss(student, side, "categorical") for side in teachers]
    torch.testing.assert_close(together, torch.stack(apart).mean(0), **CLOSE)


def test_mean_probabilities_of_labels_on_and_off(teachers):
    logits = MEAN_PROBABILITIES(teachers, "binary", 2)
    first, second = ((side / 2).sigmoid() for side in teachers)
    torch.testing.assert_close((logits / 2).sigmoid(), (first + second) / 2, **CLOSE)


@pytest.mark.parametrize("ensemble", [MEAN_LOGITS, MEAN_PROBABILITIES])
def test_outputs_of_a_regression_are_averaged_as_they_are(teachers, ensemble):
    torch.testing.assert_close(ensemble(teachers, "regression", 4), sum(teachers) / 2, **CLOSE)


@pytest.mark.parametrize("kind", ["categorical", "binary", "regression"])
@pytest.mark.parametrize("ensemble", [MEAN_LOGITS, MEAN_PROBABILITIES])
def test_equal_teachers_teach_as_one_and_their_order_does_not_count(wave, teachers, ensemble, kind):
    student, loss = wave(2, 3), KLLoss(temperature=2)
    alone = loss(student, teachers[0], kind)
    together = loss(student, ensemble([teachers[0]] * 3, kind, 2), kind)
    torch.testing.assert_close(together, alone, **CLOSE)
    sides = [ensemble(order, kind, 2) for order in (teachers, teachers[::-1])]
    torch.testing.assert_close(*sides, **CLOSE)


@pytest.mark.parametrize(
    ("ensemble", "ruled_out"), [(MEAN_LOGITS, [True, True]), (MEAN_PROBABILITIES, [True, False])]
)
def test_classes_that_teachers_rule_out(ensemble, ruled_out):
    """One class all teachers rule out, another class one teacher."""
    teachers = [torch.tensor([[1.0, -torch.inf, -torch.inf]]), torch.tensor([[2.0, -torch.inf, 0.5]])]
    logits = ensemble(teachers, "categorical", 2.0)
    assert logits[0, 1:].isneginf().tolist() == ruled_out
    loss = KLLoss(temperature=2)(torch.zeros(1, 3), logits, "categorical")
    assert loss.isfinite().all()


def test_half_precision_is_averaged_in_float32(teachers):
    assert MEAN_LOGITS([side.bfloat16() for side in teachers], "categorical").dtype == torch.float32


def test_a_temperature_of_each_row_is_known_too_late_for_probabilities():
    loss = KLLoss(TemperatureSchedule(4, "cwsm"))
    assert MEAN_LOGITS.temperature_of(loss) == 1
    with pytest.raises(KdpipeError, match="need one temperature"):
        MEAN_PROBABILITIES.temperature_of(loss)


@pytest.mark.parametrize("weights", [(0, 1), (-1, 2), (float("nan"), 1), (float("inf"), 1)])
def test_weights_are_above_zero(weights):
    with pytest.raises(KdpipeError, match="expected weights above 0"):
        Ensemble(weights=weights)


def test_what_is_averaged_is_known():
    with pytest.raises(KdpipeError, match="expected `logits` or `probabilities`, found 'logit'"):
        Ensemble("logit")
