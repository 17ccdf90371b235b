"""Choosing the tokens that a masked language model must predict."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORE_INDEX = -100


def token_weights(
    counts: NDArray[np.integer[Any]], special_ids: Sequence[int], smoothing: float = 0.7
) -> NDArray[np.float64]:
    """Return how readily each token is chosen: rare ones more, special ones never.

    Args:
        counts: occurrences of each token [V]; one that never occurs counts as one that did once.
        special_ids: ids that are never chosen.
        smoothing: exponent on the counts; 0 chooses all tokens alike.

    Reference:
        github.com/frankaging/Causal-Distill, `distillation/causal_train.py`, after Hugging Face's
        distillation research project.
    """
    weights: NDArray[np.float64] = np.maximum(counts, 1).astype(np.float64) ** -smoothing
    weights[list(special_ids)] = 0.0
    return weights


def mask_tokens(
    input_ids: NDArray[np.int64],
    lengths: NDArray[np.integer[Any]],
    weights: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    mask_id: int,
    vocab_size: int,
    probability: float = 0.15,
    mask_share: float = 0.8,
    keep_share: float = 0.1,
    random_share: float = 0.1,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose tokens to predict, and hide most of them.

    The number of tokens chosen is a share of the whole batch's, with no quota for a sequence.

    Args:
        input_ids: token ids [B, T].
        lengths: tokens of each sequence that are not padding [B].
        weights: how readily each token is chosen [V], as from `token_weights`.
        rng: where the draws come from.
        mask_id: id of the mask token.
        vocab_size: random tokens are drawn from the ids below it.
        probability: share of the batch's tokens, special ones included, that are chosen.
        mask_share: share of the chosen that become the mask token.
        keep_share: share of the chosen that stay as they are.
        random_share: share of the chosen that become a random token.

    Returns:
        The ids with tokens hidden, and the labels: the original id where a token was chosen,
        `IGNORE_INDEX` elsewhere. Both [B, T].

    Raises:
        ValueError: the shares do not add up to 1.

    Reference:
        github.com/frankaging/Causal-Distill, `distillation/causal_distiller.py`,
        `prepare_batch_mlm`.
    """
    if not math.isclose(mask_share + keep_share + random_share, 1.0):
        raise ValueError(f"expected shares of sum 1: {mask_share}, {keep_share}, {random_share}")
    real = np.arange(input_ids.shape[1]) < np.asarray(lengths)[:, None]
    candidates = np.where(real, weights[input_ids], 0.0).ravel()
    chosen = _draw(candidates, math.ceil(probability * int(np.sum(lengths))), rng)

    masked, labels = input_ids.copy(), np.full_like(input_ids, IGNORE_INDEX)
    labels.flat[chosen] = input_ids.flat[chosen]
    fate = rng.random(len(chosen))
    masked.flat[chosen[fate < mask_share]] = mask_id
    replaced = chosen[fate >= mask_share + keep_share]
    masked.flat[replaced] = rng.integers(vocab_size, size=len(replaced))
    return masked, labels


def _draw(weights: NDArray[np.float64], size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw positions without replacement, in proportion to their weights, by an exponential race.

    The positions whose exponential clocks of rate `weight` ring first are such a draw; those of no
    weight never ring.

    Reference:
        Efraimidis and Spirakis 2006, Weighted random sampling with a reservoir.
    """
    size = min(size, int(np.count_nonzero(weights)))
    if size == 0:
        return np.empty(0, dtype=np.intp)
    with np.errstate(divide="ignore"):
        rings = rng.standard_exponential(weights.shape) / weights
    # Sorted, as the order in which a partition leaves them depends on the processor.
    return np.sort(np.argpartition(rings, size - 1)[:size])
