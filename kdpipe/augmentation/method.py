"""The contract of methods that make copies of a text by changing its words."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np

# Tests draw from NumPy's older generator, which gives the published examples.
Random = np.random.Generator | np.random.RandomState
# What takes the place of a masked word, until a tokenizer says what its mask token is.
MASKED = None
# Probabilities of several cases, which add up to 1; the check of a config knows the type by this name.
Probabilities = Sequence[float]


class WordMethod(Protocol):
    """A method of the catalog that changes the words of a text.

    The options of a config are the parameters of its constructor.

    Attributes:
        needs_model: whether a model makes the copies, in a stage of its own; then the class is no
            `WordMethod` (`kdpipe.augmentation.masked_lm`).
        needs_mask: whether it masks words, so that the tokenizer must have a mask token.
    """

    needs_model: ClassVar[bool] = False
    needs_mask: ClassVar[bool] = False

    def __call__(self, words: Sequence[str], rng: Random) -> list[str | None]:
        """Return the words of a copy, `MASKED` in place of a masked word; of no words there are none.

        Args:
            words: the words.
            rng: draws; only methods that both kinds of generators have may be called.
        """
        ...
