"""Intervals hold what they should, and resamples are of examples."""

import numpy as np
import pytest

from kdpipe.evaluation.resampling import LEVEL, REPLICATES, interval, over_runs, resampled_sums


def mean(differences: np.ndarray) -> np.ndarray:
    return np.asarray(differences.mean(0))


def test_a_resample_has_as_many_examples_as_the_split() -> None:
    sums = resampled_sums(np.ones((7, 1)))
    assert sums.shape == (REPLICATES, 1)
    assert (sums == 7).all()


def test_two_models_are_resampled_with_the_same_examples() -> None:
    parts = np.random.default_rng(0).random((30, 2))
    together = resampled_sums(parts)
    alone = [resampled_sums(parts[:, [column]]) for column in (0, 1)]
    assert np.allclose(together, np.concatenate(alone, 1))
    # Examples are drawn with replacement: sums differ, and are the sum of the whole on average.
    assert np.allclose(together.mean(0), parts.sum(0), rtol=0.02)
    assert together.std(0) == pytest.approx(np.sqrt(30) * parts.std(0), rel=0.1)


def test_the_interval_of_one_run_is_that_of_its_examples() -> None:
    """The standard error of a share p over N examples is sqrt(p (1 - p) / N)."""
    right = (np.arange(400) < 300).astype(float)[:, None]
    low, high = interval(resampled_sums(right).T / 400, mean)
    error = np.sqrt(0.75 * 0.25 / 400)
    assert (low, high) == pytest.approx((0.75 - 1.96 * error, 0.75 + 1.96 * error), abs=0.2 * error)


def test_runs_count_with_their_sample_variance() -> None:
    """Without any spread over examples, the standard error is that of the mean of runs."""
    runs = np.random.default_rng(2).normal(size=10)
    low, high = interval(np.repeat(runs[:, None], REPLICATES, 1), mean)
    error = runs.std(ddof=1) / np.sqrt(len(runs))
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert low < runs.mean() < high


def test_equal_runs_have_an_interval_of_no_width() -> None:
    assert interval(np.full((3, REPLICATES), 0.25), mean) == (0.25, 0.25)


def test_medians_of_runs() -> None:
    low, high = interval(
        np.array([[0.0], [1.0], [100.0]]).repeat(REPLICATES, 1), lambda runs: np.median(runs, 0)
    )
    assert low < 1 < high


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """The share of 200 experiments whose interval of a mean of 100 numbers holds the true mean."""
    rng = np.random.default_rng(3)
    holds = 0
    for _ in range(200):
        low, high = interval(resampled_sums(rng.normal(size=(100, 1))).T / 100, mean)
        holds += low < 0 < high
    assert holds / 200 == pytest.approx(LEVEL, abs=0.05)


@pytest.mark.parametrize("runs", [2, 3])
def test_intervals_over_examples_and_runs_hold_the_truth(runs: int) -> None:
    """The true difference is 0; runs and examples have the same share in the error of a mean."""
    rng, size, holds = np.random.default_rng(4), 100, 0
    for _ in range(200):
        examples = rng.normal(size=(size, 1)) + rng.normal(size=runs) / np.sqrt(size)
        low, high = interval(resampled_sums(examples, 200).T / size, mean)
        holds += low < 0 < high
    assert 0.85 < holds / 200 < 1


def test_runs_of_a_baseline_that_are_no_pairs_widen_the_interval() -> None:
    baseline = np.random.default_rng(5).normal(size=(10, 1)).repeat(REPLICATES, 1)
    found = over_runs(baseline, mean, 2)
    assert found.std() == pytest.approx(baseline[:, 0].std(ddof=1) / np.sqrt(10), rel=0.15)
    assert np.array_equal(found, over_runs(baseline, mean, 2))
    assert np.array_equal(over_runs(baseline[:1], mean, 2), baseline[0])
