"""The tokens that a language model predicts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdpipe.data.batches import Masking, NextToken, Targets
from kdpipe.data.masking import token_weights
from kdpipe.errors import ModelError
from kdpipe.models.family import family_of


def token_targets(
    model: Any,
    tokenizer: Any,
    seed: int,
    *,
    counts: NDArray[np.int64] | None = None,
    masking: type[Masking] = Masking,
    probability: float = 0.15,
    smoothing: float = 0.7,
    mask: float = 0.8,
    keep: float = 0.1,
    random: float = 0.1,
) -> Targets:
    """Return the targets of a model: masked tokens, or for a causal model each next token.

    Args:
        model: the model.
        tokenizer: its tokenizer, which knows the special tokens; a causal model needs none.
        seed: seed of the draws.
        counts: occurrences of each token [V]; not needed without smoothing.
        masking: class that draws the masked tokens.
        probability: share of the tokens that become targets.
        smoothing: exponent s of count^-s, the preference for rare tokens; 0 chooses uniformly.
        mask: share of the targets that the mask token replaces.
        keep: share of the targets that stay.
        random: share of the targets that a random token replaces.

    Raises:
        ModelError: the model predicts masked tokens, and the tokenizer has no mask token.
    """
    if family_of(model).causal:
        return NextToken()
    if tokenizer.mask_token_id is None:
        raise ModelError(
            f"the tokenizer of {tokenizer.name_or_path} has no mask token, but a {type(model).__name__} "
            "predicts masked tokens; take a model whose tokenizer has a mask token, or a causal model"
        )
    if counts is None:
        counts = np.ones(len(tokenizer), dtype=np.int64)
    weights = token_weights(counts, tokenizer.all_special_ids, smoothing)
    return masking(weights, tokenizer.mask_token_id, probability, (mask, keep, random), seed)
