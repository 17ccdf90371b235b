"""Whether classifiers are as often right as they are sure."""

import numpy as np
import pytest

from kdpipe.plan.graph import Graph
from kdpipe.reporting.calibration import bins_of, calibrations, reliability_figure

SPLITS = {"mrpc": "test", "sst2": "test", "text": "test"}


def test_bins_have_counts_and_means():
    confidence = np.array([0.51, 0.55, 0.59, 0.95, 1.0])
    low, high = bins_of(confidence, np.array([True, False, False, True, True]))
    assert (low.count, high.count) == (3, 2)
    assert [low.confidence, high.confidence] == pytest.approx([0.55, 0.975])
    assert [low.accuracy, high.accuracy] == pytest.approx([1 / 3, 1])


def test_the_error_is_the_distance_from_accuracy_to_probability(example: Graph):
    """Every prediction has logits 2 and 0, and so the probability 0.88, in one bin."""
    teacher = next(each for each in calibrations(example, ["teacher-mrpc"], SPLITS))
    probability = 1 / (1 + np.exp(-2))
    assert [teacher.accuracy, teacher.confidence] == pytest.approx([0.8, probability])
    assert teacher.error == pytest.approx(probability - 0.8)


def test_the_predictions_of_runs_count_together(example: Graph):
    (students,) = calibrations(example, ["student-mrpc-{seed}"], SPLITS)
    assert students.accuracy == pytest.approx((15 + 15 + 17) / 60)
    assert [each.count for each in students.bins] == [60]


def test_language_models_have_none(example: Graph):
    assert calibrations(example, ["base"], SPLITS) == []


def test_the_figure_has_a_panel_for_each_dataset(example: Graph):
    models = ["student-mrpc-{seed}", "student-sst2-{seed}", "teacher-mrpc"]
    svg = reliability_figure(calibrations(example, models, SPLITS))
    for text in ("mrpc, test", "sst2, test", "teacher-mrpc"):
        assert f">{text}<" in svg
