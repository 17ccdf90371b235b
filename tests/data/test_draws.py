"""Draws of examples: uniform, independent, and the same in whatever batch an example is."""

import numpy as np
import pytest
from scipy.stats import kstest

from kdpipe.data.draws import uniform

EVERY = np.arange(4000)


def splitmix(state: int, count: int) -> list[int]:
    """Return numbers of SplitMix64, one by one."""
    mask, found = 2**64 - 1, []
    for _ in range(count):
        state = state + 0x9E3779B97F4A7C15 & mask
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        found.append(z ^ z >> 31)
    return found


def test_an_example_has_a_stream_of_splitmix() -> None:
    # The first numbers from the state 0, as other implementations give them.
    assert splitmix(0, 2) == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    [draws] = uniform(0, np.array([0]), 3)
    assert draws.tolist() == [(number >> 11) * 2.0**-53 for number in splitmix(0, 3)]


def test_draws_go_by_the_example_and_not_by_its_batch() -> None:
    whole = uniform(7, EVERY, 5)
    assert np.array_equal(uniform(7, EVERY[[30, 2]], 5), whole[[30, 2]])
    assert np.array_equal(uniform(7, EVERY, 3), whole[:, :3])
    assert not np.isin(uniform(8, EVERY, 5), whole).any()


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_draws_are_uniform_and_independent(seed: int) -> None:
    draws = uniform(seed, EVERY, 6)
    assert ((draws >= 0) & (draws < 1)).all()
    assert kstest(draws.ravel(), "uniform").pvalue > 0.001
    near = np.corrcoef(np.hstack([draws[:-1], draws[1:]]).T)
    assert np.abs(near - np.eye(12)).max() < 0.08
