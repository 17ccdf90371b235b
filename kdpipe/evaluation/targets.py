"""The tokens that a language model is to predict."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.data.batches import Masking, NextToken, Targets
from kdpipe.data.masking import token_weights
from kdpipe.errors import ModelError
from kdpipe.models.family import family_of


def token_targets(
    model: Any,
    tokenizer: Any,
    settings: MaskingSettings,
    seed: int,
    *,
    counts: NDArray[np.int64] | None = None,
    masking: type[Masking] = Masking,
) -> Targets:
    """Return which tokens are predicted: those that are masked, or each after those before it.

    Args:
        model: the model; a causal one reads the text as it is.
        tokenizer: says which tokens are special.
        settings: probability, shares and smoothing of the masking.
        seed: seed of the draws.
        counts: occurrences of each token [V]; not needed where the smoothing is 0.
        masking: how the draws are made.

    Raises:
        ModelError: tokens are to be masked, and the tokenizer has no token for that.
    """
    if family_of(model).causal:
        return NextToken()
    if tokenizer.mask_token_id is None:
        raise ModelError(
            f"{tokenizer.name_or_path} has a tokenizer without a mask token, but a {type(model).__name__} "
            "predicts tokens that are masked; take a model with such a tokenizer, or a causal one"
        )
    if counts is None:
        counts = np.ones(len(tokenizer), dtype=np.int64)
    weights = token_weights(counts, tokenizer.all_special_ids, settings.smoothing)
    shares = (settings.mask, settings.keep, settings.random)
    return masking(weights, tokenizer.mask_token_id, settings.probability, shares, seed)
