"""The room that a teacher's signals take on a split, known before the teacher runs over it."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from kdpipe.anatomy.signals import BYTES, Signal, StoredPrecision
from kdpipe.data.batches import Collator, on_device
from kdpipe.errors import KdpipeError
from kdpipe.signals.capture import Signals
from kdpipe.signals.formats import Listed, precision_of, row_counts, row_shape

LOG = logging.getLogger(__name__)
# Bytes of the place where the rows of an example begin.
OFFSET = 8


def measure(
    teacher: Callable[[Mapping[str, Any]], Signals],
    collator: Collator,
    precision: StoredPrecision,
    device: torch.device,
) -> dict[Signal, int]:
    """Return the bytes of each signal on a split; a run on its shortest example shows how wide rows are.

    Args:
        teacher: gives the signals of a batch.
        collator: makes batches of the split.
        precision: the precision of stored signals that may be halved.
        device: the device of the teacher.
    """
    split, sizes = collator.split, {}
    every = np.arange(len(split))
    for signal, rows in teacher(on_device(collator([int(split.lengths.argmin())]), device)).items():
        if isinstance(rows, Listed):
            lengths, counts = np.unique(split.lengths, return_counts=True)
            taken = zip(lengths.tolist(), counts.tolist(), strict=True)
            whole = sum(count * rows.bytes_of(signal, length, precision) for length, count in taken)
            sizes[signal] = (whole + OFFSET * len(split)) * collator.maskings
            continue
        count = int(row_counts(split, every, signal, rows.positions, collator.targets).sum())
        width = int(np.prod(row_shape(rows, signal)))
        once = count * width * BYTES[precision_of(signal, precision)] + OFFSET * len(split)
        sizes[signal] = once * collator.maskings
    return sizes


def check_size(sizes: Mapping[Signal, int], examples: int, limit_gb: float) -> None:
    """Log the size of a cache, and refuse a cache that would be larger than its limit.

    Args:
        sizes: the bytes of each signal.
        examples: number of examples.
        limit_gb: the limit in GB.
    """
    size = sum(sizes.values()) / 1e9
    parts = ", ".join(f"{signal} {part / 1e9:.3f} GB" for signal, part in sizes.items())
    LOG.info("the cache takes %.3f GB for %d examples: %s", size, examples, parts)
    if size > limit_gb:
        kinds = Counter(signal.kind for signal in sizes)
        what = " and ".join(f"{count} {kind}" for kind, count in kinds.items())
        raise KdpipeError(
            f"the teacher's {what} of {examples:,} examples would take {size:.3g} GB, more than "
            f"cache_limit_gb {limit_gb:g}; raise it, match fewer layers, or set `cache: off`"
        )
