"""Longer spans in another order."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from kdpipe.augmentation.method import Random, WordMethod


class LongDisorder(WordMethod):
    """Lets the two halves of spans of words change places.

    Args:
        probability: probability of a span at each place; spans do not overlap.
        length: words of a span, rounded up to an even number; at most 1, it is the share of the text's words.

    Reference:
        `long_disorder` in TextBrewer's `data_utils` (Yang et al. 2020, arXiv 2002.12620).
    """

    def __init__(
        self,
        *,
        probability: Annotated[float, Field(gt=0, le=1)] = 0.1,
        length: Annotated[float, Field(gt=0, le=1e6)] = 20,
    ) -> None:
        self._probability = probability
        self._length = length

    def __call__(self, words: Sequence[str], rng: Random) -> list[str | None]:
        """Draw at each place whether a span begins there."""
        half = (int(self._length * len(words) if self._length <= 1 else self._length) + 1) // 2
        ordered: list[str | None] = [*words]
        place = 0
        # A share of a short text may be no word at all.
        while half and place + 2 * half <= len(words):
            if rng.random() >= self._probability:
                place += 1
                continue
            middle, end = place + half, place + 2 * half
            ordered[place:end] = [*words[middle:end], *words[place:middle]]
            place = end
        return ordered
