"""The tokens that a language model is trained to predict."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.data.batches import Masking, NextToken, Targets
from kdpipe.data.masking import token_weights
from kdpipe.models.family import family_of

COUNTS = "counts.parquet"


def read_counts(folder: Path) -> NDArray[np.int64]:
    """Return the token counts of an artifact of `count_tokens`, by token id [V]."""
    counts: NDArray[np.int64] = pq.read_table(folder / COUNTS)["count"].to_numpy()
    return counts


def training_targets(
    model: Any, settings: MaskingSettings, tokenizer: Any, counts: NDArray[np.int64] | None, seed: int
) -> Targets:
    """Return which tokens are predicted: those that are masked, or each after those before it.

    Args:
        model: the model; a causal one reads the text as it is.
        settings: probability, shares and smoothing of the masking.
        tokenizer: says which tokens are special.
        counts: occurrences of each token [V]; not needed where the smoothing is 0.
        seed: seed of the draws.
    """
    if family_of(model).causal:
        return NextToken()
    if counts is None:
        counts = np.ones(len(tokenizer), dtype=np.int64)
    weights = token_weights(counts, tokenizer.all_special_ids, settings.smoothing)
    shares = (settings.mask, settings.keep, settings.random)
    return Masking(weights, tokenizer.mask_token_id, settings.probability, shares, seed)
