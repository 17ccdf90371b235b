"""Uniform draws for many examples at once: each example has a stream of its own, whatever its batch."""

import numpy as np
from numpy.typing import NDArray

# The constants of the generator: its step, and the factors that mix the bits of a number.
STEP, FIRST, SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def uniform(seed: int, examples: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return numbers from 0 to below 1 [B, N].

    Args:
        seed: seed of the draws.
        examples: the examples [B].
        count: the numbers of each example.

    Reference:
        Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators: SplitMix64.
    """
    # Products of arrays wrap around, without a warning.
    streams = _mixed(np.array([seed], dtype=np.uint64) * STEP + examples.astype(np.uint64) * SECOND)
    places = np.arange(1, count + 1, dtype=np.uint64) * STEP
    draws: NDArray[np.float64] = (_mixed(streams[:, None] + places) >> np.uint64(11)).astype(np.float64)
    return draws * 2.0**-53


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers each of whose bits depends on all bits of the given ones."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * FIRST
    numbers = (numbers ^ (numbers >> np.uint64(27))) * SECOND
    return numbers ^ (numbers >> np.uint64(31))
