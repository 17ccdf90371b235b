"""The speed of matrix products alone: products of the shapes of a training step, and one large product."""

import time
from collections.abc import Sequence
from statistics import median

import torch

from kdpipe.models.precision import default_device

LARGE = 4096
# A product is repeated for this many seconds and times, after one uncounted time; the median counts.
MEASURED_FOR, REPEATS = 0.5, 5


def speed_of_maps(rows: int, maps: Sequence[tuple[int, int, int]], precision: str) -> float:
    """Return the operations per second of linear maps, forward and backward.

    Args:
        rows: number of rows that the maps read.
        maps: inputs, outputs and number of maps of each shape.
        precision: precision of the matrices.
    """
    operations = seconds = 0.0
    for inputs, outputs, number in maps:
        # The output, the gradient of the input, the gradient of the weight.
        for shape in ((rows, inputs, outputs), (rows, outputs, inputs), (outputs, rows, inputs)):
            operations += number * _operations(*shape)
            seconds += number * _seconds(*shape, precision)
    return operations / seconds


def speed_of_large(precision: str) -> float:
    """Return the operations per second of one large product."""
    return _operations(LARGE, LARGE, LARGE) / _seconds(LARGE, LARGE, LARGE, precision)


def _operations(rows: int, inner: int, columns: int) -> float:
    return 2.0 * rows * inner * columns


def _seconds(rows: int, inner: int, columns: int, precision: str) -> float:
    """Return the seconds of a product [rows, inner] x [inner, columns]."""
    device, dtype = default_device(), getattr(torch, precision)
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(inner, columns, device=device).to(dtype)
    times: list[float] = []
    end = time.perf_counter() + MEASURED_FOR
    while len(times) <= REPEATS or time.perf_counter() < end:
        start = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return median(times[1:])
