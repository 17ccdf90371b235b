"""The choice of an assistant; the metrics are read off the paper's figure."""

from pathlib import Path

import pytest

from kdpipe.anatomy.units import Units, leaves_no_more
from kdpipe.assistants.minidisc import MiniDisc
from kdpipe.config.document import read_config
from kdpipe.plan.stages.schedule import GRID

ROOT = Path(__file__).resolve().parents[2]

# Metric by sparsity of the assistant; the student's sparsity is 0.9.
MRPC = {0.3: 0.9151, 0.4: 0.9132, 0.5: 0.9126, 0.6: 0.8993, 0.7: 0.8889, 0.8: 0.8707, 0.9: 0.8667}
QQP = {0.3: 0.8874, 0.4: 0.8858, 0.5: 0.8826, 0.6: 0.8812, 0.7: 0.8771, 0.8: 0.8695, 0.9: 0.8436}


@pytest.mark.parametrize(("metrics", "tradeoffs"), [
    (MRPC, [0.9751, 0.9932, 1.0126, 1.0193, 1.0289, 1.0307, 1.0467]),
    (QQP, [0.9474, 0.9658, 0.9826, 1.0012, 1.0171, 1.0295, 1.0236]),
], ids=["mrpc", "qqp"])  # fmt: skip
def test_tradeoffs_of_the_figures_data(metrics, tradeoffs):
    """specs/minidisc.md, 6.1; the last value is the student's."""
    method = MiniDisc(0.9, 0.2)
    found = [method.tradeoff(metric, sparsity) for sparsity, metric in metrics.items()]
    assert found == pytest.approx(tradeoffs, rel=1e-12)


def cost(teacher, *sizes):
    """Return the cost of a step, in forward passes of the unpruned model: a backward pass counts twice."""
    return (1 - teacher) + sum(3 * (1 - sparsity) for sparsity in sizes)


def test_costs_of_the_methods():
    """specs/minidisc.md, 5.5, for a student of 90 %: without an assistant, with one, and with a search."""
    assert cost(0, 0.9) == pytest.approx(1.3)
    assert cost(0, 0.7) == pytest.approx(1.9)
    assert cost(0, *GRID) == pytest.approx(6.1)
    assistant = {"heads": Units(144, 0.7), "neurons": Units(36864, 0.7)}
    second = [sparsity for sparsity in GRID if leaves_no_more(sparsity, assistant)]
    assert cost(0.7, *second) == pytest.approx(2.7)
    trials = read_config([ROOT / "config" / "maxidisc.yaml"])["matrix"]["sparsity"]
    for tried, total in ((trials, 28.0), ([own for own in trials if own >= 0.5], 10.8)):
        assert sum(cost(0, own) + cost(own, 0.9) for own in tried) == pytest.approx(total)


@pytest.mark.parametrize(("weight", "mrpc", "qqp"), [
    (0, 0.3, 0.3), (0.05, 0.5, 0.7), (0.1, 0.5, 0.8), (0.2, 0.8, 0.8), (0.5, 0.8, 0.8),
])  # fmt: skip
def test_what_is_chosen_on_the_figures_data(weight, mrpc, qqp):
    method = MiniDisc(0.9, weight)
    assert (method.choose(MRPC), method.choose(QQP)) == (mrpc, qqp)


def test_the_published_code_admits_the_student_as_its_own_assistant():
    method = MiniDisc(0.9, 0.2, "code")
    assert (method.choose(MRPC), method.choose(QQP)) == (0.9, 0.8)


def test_the_tradeoff_is_a_sum():
    assert MiniDisc(0.9, 0.2).tradeoff(0.87, 0.8) == pytest.approx(1.03)


def test_states_of_a_training_are_compared_by_the_tradeoff_of_the_choice():
    metrics = {0.5: 0.9, 0.8: 0.7, 0.9: 0.6, 0.95: 0.5}
    assert MiniDisc(0.9, 0.2).score(metrics) == pytest.approx(1.0)
    assert MiniDisc(0.9, 100).score(metrics) == pytest.approx(80.7)


def test_as_published_a_student_that_stands_for_a_smaller_size_counts_with_its_metric_alone():
    """The published second stage does the same: it trains all sizes again for the student's sake."""
    assert MiniDisc(0.9, 100, "code").score({0.8: 0.7, 0.9: 0.6, 0.95: 0.5}) == 0.6
    assert MiniDisc(0.9, 100, "code").score({0.8: 0.7, 0.9: 0.6}) == pytest.approx(90.6)


def test_without_a_weight_the_best_metric_wins_and_ties_go_to_the_largest():
    assert MiniDisc(0.9, 0).choose({0.8: 0.9, 0.5: 0.9, 0.6: 0.7}) == 0.5


def test_a_large_weight_takes_the_smallest_that_is_larger_than_the_student():
    metrics = {0.5: 0.9, 0.8: 0.1, 0.9: 0.1, 0.95: 0.1}
    assert MiniDisc(0.9, 100).choose(metrics) == 0.8
    assert MiniDisc(0.9, 100, "code").choose(metrics) == 0.9
