"""From a padded batch to its real rows."""

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
