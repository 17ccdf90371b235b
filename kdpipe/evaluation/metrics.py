"""Metrics by their names: from gold and predicted values to a number in 0 to 1; correlations, -1 to 1."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
Metric = Callable[[Values, Values], float]


def compute(
    metrics: Mapping[str, Metric], names: Sequence[str], gold: Values | None, predicted: Values
) -> dict[str, float]:
    """Return the metrics of some names; none where there are no labels.

    Args:
        metrics: those that the task has.
        names: those that are asked for.
        gold: the labels, one per example; of multi-label tasks [N, C]; None where there are none.
        predicted: the predictions, in the same form.
    """
    return {} if gold is None else {name: metrics[name](gold, predicted) for name in names}


def accuracy(gold: Values, predicted: Values) -> float:
    """Return the share of examples that are right, in all their labels if they have several."""
    right = gold == predicted
    return float((right.all(-1) if right.ndim == 2 else right).mean())


def count_classes(gold: Values | None, predicted: Values) -> int | None:
    """Return how many classes labels or predictions have, as of `compute`."""
    if gold is None:
        return None
    if gold.ndim == 2:
        return int(np.logical_or(gold, predicted).any(0).sum())
    return len(np.union1d(gold, predicted))


def f1(average: str) -> Metric:
    """Return F1 with an average of scikit-learn; `binary` is F1 of class 1.

    `macro` is over the classes that labels or predictions have, where an example has one class.
    """

    def score(gold: Values, predicted: Values) -> float:
        # Importing scikit-learn takes a second, which training need not wait for.
        from sklearn.metrics import f1_score

        return float(f1_score(gold, predicted, average=average, zero_division=0.0))

    return score


def matthews(gold: Values, predicted: Values) -> float:
    """Return Matthews' correlation coefficient, 0 where one side is constant."""
    from sklearn.metrics import matthews_corrcoef

    if len(np.unique(gold)) < 2 or len(np.unique(predicted)) < 2:
        return 0.0
    return float(matthews_corrcoef(gold, predicted))


def pearson(gold: Values, predicted: Values) -> float:
    """Return Pearson's correlation, 0 where one side is constant."""
    gold, predicted = (values - values.mean() for values in (gold.astype(float), predicted.astype(float)))
    scale = math.sqrt(float(gold @ gold) * float(predicted @ predicted))
    return float(gold @ predicted) / scale if scale else 0.0


def spearman(gold: Values, predicted: Values) -> float:
    """Return the correlation of the ranks, equal values sharing the mean of theirs."""
    from scipy.stats import rankdata

    return pearson(rankdata(gold), rankdata(predicted))


def squared_error(gold: Values, predicted: Values) -> float:
    """Return the mean squared difference."""
    return float(np.square(gold - predicted).mean())


def mean_of(*metrics: Metric) -> Metric:
    """Return the mean of some metrics."""
    return lambda gold, predicted: sum(metric(gold, predicted) for metric in metrics) / len(metrics)
