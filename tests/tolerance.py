"""How far apart two computations of one number may be: as far as rounding in their precision takes them."""

import torch
from torch import Tensor

# A tiny model adds some tens of products in each of some ten layers, each addition with a rounding; the order
# in which it adds them is the processor's.
ROUNDINGS = 512


def rounding(roundings: float = ROUNDINGS, dtype: torch.dtype = torch.float32) -> float:
    """Return the share of a number by which so many roundings in one direction change it.

    Args:
        roundings: how many there are on the way to the number, the sums that it is made of included.
        dtype: the precision that they are in.
    """
    return roundings * torch.finfo(dtype).eps


def is_close(
    found: Tensor, expected: Tensor, roundings: float = ROUNDINGS, dtype: torch.dtype | None = None
) -> bool:
    """Tell whether tensors are equal but for rounding, as of `assert_close`."""
    try:
        assert_close(found, expected, roundings, dtype)
    except AssertionError:
        return False
    return True


def assert_close(
    found: Tensor, expected: Tensor, roundings: float = ROUNDINGS, dtype: torch.dtype | None = None
) -> None:
    """Assert that tensors are equal but for rounding.

    What is left of large numbers that cancel has their error, so that the largest one counts for all.

    Args:
        found: the one.
        expected: the other.
        roundings: as of `rounding`.
        dtype: the precision that they were computed in; by default the one that they have.
    """
    finite = expected.detach()[expected.isfinite()].abs()
    largest = float(finite.max()) if finite.numel() else 0.0
    tolerance = largest * rounding(roundings, dtype or expected.dtype)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
