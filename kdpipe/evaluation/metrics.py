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


def share(part: Values, whole: Values) -> Values:
    """Return part / whole, 0 where the whole is 0."""
    ratio: Values = np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) != 0)
    return ratio


def mean(total: Values, count: Values) -> Values:
    """Return total / count, NaN where the count is 0."""
    ratio: Values = np.divide(
        total, count, out=np.full(np.shape(total), np.nan), where=np.asarray(count) != 0
    )
    return ratio


def correlation_from_sums(sums: Values) -> Values:
    """Return Pearson's correlations [B] from the sums of 1, x, y, xx, yy and xy [B, 6]; 0 of a constant side.

    The sums of numbers that are centred before lose fewer digits.
    """
    n, x, y, xx, yy, xy = sums.T
    left, right = (np.maximum(square - total**2 / n, 0) for square, total in ((xx, x), (yy, y)))
    return share(xy - x * y / n, np.sqrt(left * right))


def matthews_from_sums(both: Values, predicted: Values, gold: Values) -> Values:
    """Return Matthews' coefficients [B] from counts of each class [B, C]; 0 of a constant side.

    Reference:
        Gorodkin 2004, Comparing two K-category assignments by a K-category correlation coefficient, eq. 8.
    """
    n, right = gold.sum(-1), both.sum(-1)
    left, other = (n**2 - np.square(counts).sum(-1) for counts in (predicted, gold))
    return share(right * n - (predicted * gold).sum(-1), np.sqrt(left * other))


def mean_of(*metrics: Metric) -> Metric:
    """Return a metric that is the mean of other metrics."""
    return lambda gold, predicted: sum(metric(gold, predicted) for metric in metrics) / len(metrics)
