"""The masking of a training run, from its settings and the token counts of its corpus."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.data.batches import Masking
from kdpipe.data.masking import token_weights

COUNTS = "counts.parquet"


def read_counts(folder: Path) -> NDArray[np.int64]:
    """Return the token counts of an artifact of `count_tokens`, by token id [V]."""
    counts: NDArray[np.int64] = pq.read_table(folder / COUNTS)["count"].to_numpy()
    return counts


def training_masking(
    settings: MaskingSettings, tokenizer: Any, counts: NDArray[np.int64] | None, seed: int
) -> Masking:
    """Return how tokens are masked.

    Args:
        settings: probability, shares and smoothing.
        tokenizer: says which tokens are special.
        counts: occurrences of each token [V]; not needed where the smoothing is 0.
        seed: seed of the draws.
    """
    if counts is None:
        counts = np.ones(len(tokenizer), dtype=np.int64)
    weights = token_weights(counts, tokenizer.all_special_ids, settings.smoothing)
    shares = (settings.mask, settings.keep, settings.random)
    return Masking(weights, tokenizer.mask_token_id, settings.probability, shares, seed)
