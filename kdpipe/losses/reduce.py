"""From a padded batch to its real rows, and from the loss of each row to one number."""

import torch
from torch import Tensor


def pack(tensor: Tensor, rows: Tensor) -> Tensor:
    """Return the rows of a padded batch that a loss reads, one after the other.

    Indices need no synchronisation with the device, which a boolean mask would.

    Args:
        tensor: [B, L, H], or [B, L] for labels.
        rows: positions in the flattened batch, [N] of B * L.

    Returns:
        [N, H], or [N] for labels.
    """
    return tensor.flatten(0, 1).index_select(0, rows)


def mean_over_rows(values: Tensor, count: int | Tensor) -> Tensor:
    """Return the mean loss as a scalar; 0 where there is no row.

    Args:
        values: the loss of each row, [N].
        count: the true number of rows, which exceeds N where a batch is accumulated in pieces.
    """
    return values.sum() / torch.as_tensor(count).clamp(min=1)
