"""How far apart two computations of one number may be: as far as rounding in their precision takes them."""

import torch

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
