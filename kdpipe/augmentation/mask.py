"""Masked words."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from kdpipe.augmentation.method import MASKED, Random, WordMethod


class Mask(WordMethod):
    """Puts the tokenizer's mask token in place of some words.

    Args:
        probability: probability of each word to be masked.

    Reference:
        `masking` in TextBrewer's `data_utils` (Yang et al. 2020, arXiv 2002.12620).
    """

    needs_mask = True

    def __init__(self, *, probability: Annotated[float, Field(gt=0, le=1)] = 0.1) -> None:
        self._probability = probability

    def __call__(self, words: Sequence[str], rng: Random) -> list[str | None]:
        """Mask each word by itself."""
        masked = rng.random(len(words)) < self._probability
        return [MASKED if hidden else word for word, hidden in zip(words, masked, strict=True)]
