"""Metrics: functions of gold and predicted values, with results from 0 to 1, of correlations from -1 to 1."""

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
    """Return metrics by name, from labels and predictions [N], or [N, C] for several labels of an example."""
    return {} if gold is None else {name: metrics[name](gold, predicted) for name in names}


def accuracy(gold: Values, predicted: Values) -> float:
    """Return the share of right examples; a multi-label example is right if all its labels are."""
    right = gold == predicted
    return float((right.all(-1) if right.ndim == 2 else right).mean())


def count_classes(gold: Values | None, predicted: Values) -> int | None:
    """Return the number of classes that occur in the labels or the predictions, in the form of `compute`."""
    if gold is None:
        return None
    if gold.ndim == 2:
        return int(np.logical_or(gold, predicted).any(0).sum())
    return len(np.union1d(gold, predicted))


def f1(average: str) -> Metric:
    """Return F1 with an average of scikit-learn; `binary` is F1 of class 1.

    For examples with one class each, `macro` averages over the classes in the labels or the predictions.
    """

    def score(gold: Values, predicted: Values) -> float:
        # scikit-learn takes a second to import, and many trainings do not need it.
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
    """Return the correlation of the ranks; equal values share the mean of their ranks."""
    from scipy.stats import rankdata

    return pearson(rankdata(gold), rankdata(predicted))


def squared_error(gold: Values, predicted: Values) -> float:
    """Return the mean squared difference."""
    return float(np.square(gold - predicted).mean())


def mean_of(*metrics: Metric) -> Metric:
    """Return a metric that is the mean of other metrics."""
    return lambda gold, predicted: sum(metric(gold, predicted) for metric in metrics) / len(metrics)
