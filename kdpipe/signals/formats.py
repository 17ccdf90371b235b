"""How the numbers of stored signals are written.

numpy and Arrow have no bfloat16, so 16-bit integers hold its bits.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.anatomy.signals import SIGNAL_KINDS, Signal, StoredPrecision
from kdpipe.errors import KdpipeError


def precision_of(signal: Signal, precision: StoredPrecision) -> StoredPrecision:
    """Return the precision that a signal is stored in.

    Args:
        signal: the signal.
        precision: the precision of signals that may be halved.
    """
    return precision if SIGNAL_KINDS[signal.kind].halved else "float32"


def narrowed(values: Tensor, signal: Signal, precision: StoredPrecision) -> NDArray[Any]:
    """Return float32 values of a signal as they are stored in a precision.

    Raises:
        KdpipeError: a signal that may be halved is not finite, or larger than its precision holds.
    """
    narrow = values.to(getattr(torch, precision))
    if not SIGNAL_KINDS[signal.kind].halved or narrow.isfinite().all():
        return (narrow.view(torch.int16) if precision == "bfloat16" else narrow).numpy()
    largest = float(values.abs().max())
    if np.isfinite(largest):
        holds = torch.finfo(narrow.dtype).max
        what = f"reaches {largest:,.0f}, more than the {holds:,.0f} that {precision} holds"
        wider = "`cache_precision: bfloat16` or `float32`" if precision == "float16" else "`float32`"
        raise KdpipeError(f"the teacher's {signal} {what}; give {wider}")
    raise KdpipeError(
        f"the teacher's {signal} is not finite; its training has diverged, "
        "or its precision is too narrow for it: give `bf16: true` in place of `fp16`"
    )


def restored(values: NDArray[Any], precision: str) -> Tensor:
    """Return stored values as a tensor of their precision."""
    tensor = torch.from_numpy(values)
    return tensor.view(torch.bfloat16) if precision == "bfloat16" else tensor
