"""Inputs of the golden values: sines of equally spaced numbers, in double precision."""

from collections.abc import Callable
from math import prod

import pytest
import torch
from torch import Tensor

Wave = Callable[..., Tensor]


@pytest.fixture
def wave() -> Wave:
    def make(*shape: int, k: float = 1.0, o: float = 0.0) -> Tensor:
        steps = torch.arange(prod(shape), dtype=torch.float64)
        return torch.sin(steps * 0.7 * k + o).reshape(shape)

    return make


@pytest.fixture
def real_rows() -> Tensor:
    """Flat positions of the real tokens of the mask [[1, 1, 1, 0], [1, 1, 0, 0]]."""
    return torch.tensor([0, 1, 2, 4, 5])
