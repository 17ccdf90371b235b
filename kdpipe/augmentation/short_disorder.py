"""Words in another order within three words."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from kdpipe.augmentation.method import Probabilities, Random, WordMethod

# The new order of neighbouring words in each case; the first leaves a word as it is and moves on.
ORDERS = ((0,), (1, 0), (2, 1, 0), (2, 0, 1), (1, 2, 0))


class ShortDisorder(WordMethod):
    """Changes the order of neighbouring words, from left to right.

    Args:
        probabilities: probabilities of what three words a b c become: a b c, b a c, c b a, c a b, b c a. The
            last two words of a text change places in all cases but the first.

    Reference:
        `short_disorder` in TextBrewer's `data_utils` (Yang et al. 2020, arXiv 2002.12620).
    """

    def __init__(
        self,
        *,
        probabilities: Annotated[Probabilities, Field(min_length=5, max_length=5)] = (0.9, 0.1, 0, 0, 0),
    ) -> None:
        self._probabilities = np.array(probabilities) / sum(probabilities)

    def __call__(self, words: Sequence[str], rng: Random) -> list[str | None]:
        """Draw a case at each place; words that have changed places do so once."""
        ordered: list[str | None] = [*words]
        place = 0
        while place < len(words) - 1:
            case = int(rng.choice(len(self._probabilities), p=self._probabilities))
            order = ORDERS[case if place + 2 < len(words) else min(case, 1)]
            ordered[place : place + len(order)] = [words[place + step] for step in order]
            place += len(order)
        return ordered
