"""The tokens that a language model must predict: masked tokens, or each next token."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kdpipe.digest import digest
from kdpipe.errors import KdpipeError
from kdpipe.seeds import MASKING, draw_seed

IGNORE_INDEX = -100
MASKED_ANEW = (
    "masking.fixed: expected a number of maskings, found none; signals on text that is masked anew in every"
    " epoch cannot be stored"
)
Integers64 = NDArray[np.int64]
Integers = NDArray[np.integer[Any]]


def token_weights(
    counts: Integers, special_ids: Sequence[int], smoothing: float = 0.7
) -> NDArray[np.float64]:
    """Return how readily each token is chosen: rare tokens more, special tokens never.

    Args:
        counts: occurrences of each token [V]; a token that never occurs counts as if it occurred once.
        special_ids: ids that are never chosen.
        smoothing: exponent on the counts; 0 chooses all tokens alike.

    Reference:
        github.com/frankaging/Causal-Distill, `distillation/causal_train.py`, after Hugging Face's
        distillation research project.
    """
    weights: NDArray[np.float64] = np.maximum(counts, 1).astype(np.float64) ** -smoothing
    weights[list(special_ids)] = 0.0
    return weights


class Targets(Protocol):
    """Which tokens of a batch a language model is to predict.

    Attributes:
        maskings: the number of ways in which an example is masked, epoch by epoch in turns; None where every
            epoch has others.
        masks: whether the tokens to be predicted are hidden among the others.
    """

    maskings: int | None
    masks: bool = True

    @property
    def key(self) -> str:
        """A digest of what the targets depend on besides the examples."""
        ...

    def count(self, input_ids: Integers, lengths: Integers) -> Integers64:
        """Return the number of targets of each example [B], whatever the epoch.

        Args:
            input_ids: token ids of the examples, one after the other.
            lengths: tokens of each example [B].
        """
        ...

    def __call__(
        self, input_ids: Integers64, lengths: Integers, epoch: int, indices: Integers64
    ) -> tuple[Integers64, Integers64]:
        """Return what the model reads, and the token that each position is to predict, both [B, L].

        Args:
            input_ids: token ids [B, L], padded.
            lengths: tokens of each example [B].
            epoch: number of the epoch.
            indices: places of the examples in the split [B].

        Returns:
            The tokens, and the targets: `IGNORE_INDEX` where nothing is to be predicted.
        """
        ...


@dataclass(frozen=True)
class Masking(Targets):
    """Chooses tokens to predict, and hides most of them.

    The number of tokens chosen is a share of the whole batch's, with no quota for a sequence. The draws
    depend on the seed, the epoch and the batch alone, so that a resumed run masks the same.

    Args:
        weights: how readily each token is chosen [V], as from `token_weights`; 0 for special tokens.
        mask_id: id of the mask token.
        probability: share of the batch's tokens, special ones included, that are chosen.
        shares: shares of the chosen that become the mask token, that stay, and that become a random token.
        seed: seed of the draws.

    Raises:
        ValueError: the shares do not add up to 1.

    Reference:
        github.com/frankaging/Causal-Distill, `distillation/causal_distiller.py`,
        `prepare_batch_mlm`.
    """

    weights: NDArray[np.float64]
    mask_id: int
    probability: float
    shares: tuple[float, float, float]
    seed: int
    maskings: int | None = field(default=None, init=False)

    @property
    def key(self) -> str:
        # Processors round powers differently.
        weights = sha256(self.weights.astype(np.float32).tobytes()).hexdigest()
        return digest([weights, self.mask_id, self.probability, self.shares, self.seed, self.maskings])

    def count(self, input_ids: Integers, lengths: Integers) -> Integers64:
        """Refuse to count, as the number of targets of an example depends on its batch.

        Raises:
            KdpipeError: always.
        """
        raise KdpipeError(MASKED_ANEW)

    def __post_init__(self) -> None:
        if not math.isclose(sum(self.shares), 1.0):
            raise ValueError(f"expected shares of sum 1: {self.shares}")

    def __call__(
        self, input_ids: Integers64, lengths: Integers, epoch: int, indices: Integers64
    ) -> tuple[Integers64, Integers64]:
        """Return the tokens with the chosen ones hidden, and their original ids as targets."""
        rng = np.random.default_rng(draw_seed(self.seed, MASKING, epoch, *indices.tolist()))
        real = np.arange(input_ids.shape[1]) < lengths[:, None]
        candidates = np.where(real, self.weights[input_ids], 0.0).ravel()
        chosen = _draw(candidates, math.ceil(self.probability * int(lengths.sum())), rng)

        masked, targets = input_ids.copy(), np.full_like(input_ids, IGNORE_INDEX)
        targets.flat[chosen] = input_ids.flat[chosen]
        fate = rng.random(len(chosen))
        mask, keep, _ = self.shares
        masked.flat[chosen[fate < mask]] = self.mask_id
        replaced = chosen[fate >= mask + keep]
        masked.flat[replaced] = rng.integers(len(self.weights), size=len(replaced))
        return masked, targets


@dataclass(frozen=True)
class FixedMasking(Masking):
    """Masks each example by its place in the split, whatever the batch, in a few ways that epochs repeat.

    Args:
        maskings: the number of ways; epoch e has number e mod `maskings`.
    """

    maskings: int = 1

    def count(self, input_ids: Integers, lengths: Integers) -> Integers64:
        """Return how many tokens of each example are chosen: a share, or as many as may be chosen."""
        ends = np.cumsum(lengths)
        candidates = np.diff(np.concatenate([[0], np.cumsum(self.weights[input_ids] > 0)])[[0, *ends]])
        # `Masking` rounds shares in the same way, to the last bit.
        wanted = np.array([math.ceil(self.probability * int(length)) for length in lengths], dtype=np.int64)
        return np.minimum(wanted, candidates)

    def __call__(
        self, input_ids: Integers64, lengths: Integers, epoch: int, indices: Integers64
    ) -> tuple[Integers64, Integers64]:
        """Mask the examples one by one, in the way of the epoch."""
        masked, targets = input_ids.copy(), np.full_like(input_ids, IGNORE_INDEX)
        for row, length in enumerate(lengths):
            one, tokens = slice(row, row + 1), slice(length)
            masked[one, tokens], targets[one, tokens] = super().__call__(
                input_ids[one, tokens], lengths[one], epoch % self.maskings, indices[one]
            )
        return masked, targets


class NextToken(Targets):
    """Makes of every token but the first of a text a target, to be predicted at the token before it."""

    maskings = 1
    masks = False
    key = "next token"

    def count(self, input_ids: Integers, lengths: Integers) -> Integers64:
        """Return the number of tokens after the first."""
        return np.maximum(lengths.astype(np.int64) - 1, 0)

    def __call__(
        self, input_ids: Integers64, lengths: Integers, epoch: int, indices: Integers64
    ) -> tuple[Integers64, Integers64]:
        """Return the tokens as they are, and after each token the next one."""
        targets = np.full_like(input_ids, IGNORE_INDEX)
        targets[:, :-1] = input_ids[:, 1:]
        targets[np.arange(input_ids.shape[1]) >= lengths[:, None] - 1] = IGNORE_INDEX
        return input_ids, targets


def _draw(weights: NDArray[np.float64], size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw positions without replacement, in proportion to their weights, by an exponential race.

    The positions whose exponential clocks of rate `weight` ring first are such a draw; the clock of a
    position without weight never rings.

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
