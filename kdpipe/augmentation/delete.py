"""Deleted words."""

from collections.abc import Sequence
from itertools import compress
from typing import Annotated

from pydantic import Field

from kdpipe.augmentation.method import Random, WordMethod


class Delete(WordMethod):
    """Leaves some words out.

    Args:
        probability: probability of each word to be left out.

    Reference:
        `deleting` in TextBrewer's `data_utils` (Yang et al. 2020, arXiv 2002.12620).
    """

    def __init__(self, *, probability: Annotated[float, Field(gt=0, le=1)] = 0.1) -> None:
        self._probability = probability

    def __call__(self, words: Sequence[str], rng: Random) -> list[str | None]:
        """Leave each word out by itself."""
        return [*compress(words, rng.binomial(1, 1 - self._probability, len(words)))]
