"""Metrics equal their definitions, also where one side is constant."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from kdpipe import catalog
from kdpipe.evaluation.metrics import compute, count_classes, pearson, spearman
from kdpipe.evaluation.tasks import classification, multi_label, regression
from kdpipe.evaluation.tasks.token_classification import entity_metrics
from kdpipe.metrics import LOWER_IS_BETTER
from tests.evaluation.test_answers import measured
from tests.tolerance import rounding


@pytest.mark.parametrize("classes", [2, 4])
def test_classification_agrees_with_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(0)
    average = "binary" if classes == 2 else "macro"
    metrics = classification.classification_metrics(classes)
    for _ in range(20):
        gold, predicted = rng.integers(0, classes, 30), rng.integers(0, classes, 30)
        found = compute(metrics, classification.Classification.all_metrics, gold, predicted)
        f1 = f1_score(gold, predicted, average=average)
        accuracy = accuracy_score(gold, predicted)
        assert found == pytest.approx({
            "accuracy": accuracy,
            "f1": f1,
            "accuracy_and_f1": (accuracy + f1) / 2,
            "matthews": matthews_corrcoef(gold, predicted),
        })  # fmt: skip


def test_classes_that_neither_labels_nor_predictions_have_do_not_count() -> None:
    gold, predicted = np.array([0, 1, 1, 3, 0, 3]), np.array([0, 1, 0, 4, 0, 3])
    metrics = classification.classification_metrics(6)
    found = compute(metrics, ["f1"], gold, predicted)["f1"]
    assert found == pytest.approx(f1_score(gold, predicted, average="macro"))
    # F1 of the classes 0, 1, 3 and 4; the classes 2 and 5 do not occur.
    assert found == pytest.approx((4 / 5 + 2 / 3 + 2 / 3 + 0) / 4)
    assert count_classes(gold, predicted) == 4
    assert count_classes(np.eye(5, dtype=int)[gold], np.eye(5, dtype=int)[predicted]) == 4
    assert count_classes(None, predicted) is None


def test_correlations_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        gold, predicted = rng.integers(0, 6, 40).astype(np.float32), rng.normal(size=40).astype(np.float32)
        assert pearson(gold, predicted) == pytest.approx(pearsonr(gold, predicted).statistic, abs=rounding())
        assert spearman(gold, predicted) == pytest.approx(
            spearmanr(gold, predicted).statistic, abs=rounding()
        )


@pytest.mark.parametrize(
    "metrics",
    [
        regression.METRICS,
        classification.classification_metrics(2),
        classification.classification_metrics(3),
        multi_label.METRICS,
    ],
)
def test_constant_predictions_have_a_score(metrics) -> None:
    zeros, ones, mixed = np.zeros(6, dtype=int), np.ones(6, dtype=int), np.array([0, 1, 1, 0, 1, 1])
    for gold, predicted in product((zeros, ones, mixed), repeat=2):
        assert all(
            math.isfinite(value) for value in compute(metrics, list(metrics), gold, predicted).values()
        )


def test_splits_without_any_entity_label_or_answer_have_a_score() -> None:
    outside, inside = [["O", "O"]], [["O", "B-X"]]
    for gold, predicted in product((outside, inside), repeat=2):
        assert all(math.isfinite(value) for value in entity_metrics(gold, predicted).values())
    none, all_on = np.zeros((4, 2), dtype=int), np.ones((4, 2), dtype=int)
    for labels in product((none, all_on), repeat=2):
        scores = compute(multi_label.METRICS, list(multi_label.METRICS), *labels)
        assert all(math.isfinite(value) for value in scores.values())
    assert measured(["", "b"], [[], []], ["b", "b"])["no_answer_accuracy"] == 0.5


def test_labels_that_apply_or_not() -> None:
    rng = np.random.default_rng(0)
    gold, predicted = rng.integers(0, 2, (30, 4)), rng.integers(0, 2, (30, 4))
    found = compute(multi_label.METRICS, multi_label.MultiLabel.metrics, gold, predicted)
    assert found == pytest.approx({
        "f1_micro": f1_score(gold, predicted, average="micro"),
        "f1_macro": f1_score(gold, predicted, average="macro"),
        "accuracy": accuracy_score(gold, predicted),
    })  # fmt: skip


def test_the_named_metrics_are_those_that_are_computed() -> None:
    assert set(classification.Classification.all_metrics) == set(classification.classification_metrics(2))
    assert set(regression.Regression.all_metrics) == set(regression.METRICS)
    assert set(multi_label.MultiLabel.all_metrics) == set(multi_label.METRICS)


def scores(task: str, *, right: bool) -> dict[str, float]:
    """Return the scores of right predictions, or of mostly wrong predictions."""
    gold = np.array([0, 1, 1, 0, 1])
    predicted = gold if right else np.array([1, 1, 0, 1, 0])
    if task == "language_modeling":
        return {"cross_entropy": 0.0, "perplexity": 1.0} if right else {"cross_entropy": 1, "perplexity": 2.7}
    if task == "token_classification":
        tags = [["O", "B-X"][i] for i in gold], [["O", "B-X"][i] for i in predicted]
        return entity_metrics([tags[0]], [tags[1]])
    if task == "question_answering":
        return measured(["a b", ""] if right else ["c", "c"], [["a b"], []], ["a b c", "a b c"])
    metrics = {
        "classification": classification.classification_metrics(2),
        "multi_label": multi_label.METRICS,
        "regression": regression.METRICS,
    }[task]
    several = task == "multi_label"
    gold, predicted = (np.eye(2, dtype=int)[values] if several else values for values in (gold, predicted))
    return compute(metrics, list(metrics), gold, predicted)


@pytest.mark.parametrize("task", catalog.TASKS)
def test_it_is_known_of_every_metric_whether_lower_is_better(task: str) -> None:
    good, bad = scores(task, right=True), scores(task, right=False)
    for metric in catalog.resolve("tasks", task).all_metrics:
        assert good[metric] != bad[metric]
        assert (good[metric] < bad[metric]) == (metric in LOWER_IS_BETTER), metric
