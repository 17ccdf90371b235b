"""Spans of neighbouring words."""

from collections.abc import Sequence

import numpy as np

from kdpipe.augmentation.method import Probabilities, Random, WordMethod


class NGram(WordMethod):
    """Keeps one span of neighbouring words, and nothing else.

    Args:
        probabilities: probabilities of spans of one word, of two words, and so on. A span that is longer than
            the text is the whole text.

    Reference:
        `n_gram_sampling` in TextBrewer's `data_utils` (Yang et al. 2020, arXiv 2002.12620).
    """

    def __init__(self, *, probabilities: Probabilities = (0.2, 0.2, 0.2, 0.2, 0.2)) -> None:
        self._probabilities = np.array(probabilities) / sum(probabilities)

    def __call__(self, words: Sequence[str], rng: Random) -> list[str | None]:
        """Draw the length of the span, then its place."""
        length = 1 + int(rng.choice(len(self._probabilities), p=self._probabilities))
        start = int(rng.choice(max(len(words) - length, 0) + 1))
        return [*words[start : start + length]]
