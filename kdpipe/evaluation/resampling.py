"""Confidence intervals by the bootstrap: metrics of resampled examples, and of resampled runs.

Reference:
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 6 and 13; for pairs of models,
    Berg-Kirkpatrick et al. 2012, An empirical investigation of statistical significance in NLP (D12-1091).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kdpipe.seeds import RESAMPLING, draw_seed

REPLICATES = 1000
# The share of the replicates that lies in an interval.
LEVEL = 0.95
# Replicates whose counts are in memory at a time.
CHUNK = 50
Values = NDArray[np.float64]


def resampled_sums(parts: Values, replicates: int = REPLICATES) -> Values:
    """Return the sums over resampled examples [B, P] of what each example adds [N, P].

    A resample draws N examples with replacement. Calls with the same N draw the same examples, so that the
    sums of two models are of the same examples.
    """
    size = len(parts)
    rng = np.random.default_rng(draw_seed(0, RESAMPLING))
    sums = []
    for start in range(0, replicates, CHUNK):
        count = min(CHUNK, replicates - start)
        drawn = rng.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size)
        sums.append(counts.astype(float) @ parts)
    return np.concatenate(sums)


def over_runs(values: Values, center: Callable[[Values], Values], draw: int) -> Values:
    """Return the average over runs on each replicate [B], with resampled runs.

    The spread of R runs that are resampled is too small by the factor sqrt((R - 1) / R), which is taken back.

    Args:
        values: the values of each run on each replicate [R, B].
        center: the mean or the median of runs, along the first axis.
        draw: the number of the draw; the same number and sizes give the same runs.
    """
    runs, middle = len(values), center(values)
    if runs > 1:
        drawn = np.random.default_rng(draw_seed(draw, RESAMPLING)).integers(runs, size=values.shape)
        again = center(np.take_along_axis(values, drawn, 0))
        middle = middle + np.sqrt(runs / (runs - 1)) * (again - middle)
    return middle


def interval(differences: Values, center: Callable[[Values], Values]) -> tuple[float, float]:
    """Return the interval of a difference that is averaged over runs.

    Each replicate has resampled examples and, of several runs, resampled runs.

    Args:
        differences: the difference of each run on each replicate [R, B].
        center: the mean or the median of runs, along the first axis.
    """
    low, high = np.quantile(over_runs(differences, center, 1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
