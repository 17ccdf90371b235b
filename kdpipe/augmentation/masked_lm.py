"""Words replaced by what a masked language model expects in their places."""

from collections.abc import Callable, Sequence
from itertools import chain, compress
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt

from kdpipe.augmentation.copies import Copies
from kdpipe.data.source import Example


class Slot(NamedTuple):
    """A word of a text that may be replaced.

    Args:
        start: where it begins in the text, in characters.
        end: where it ends.
        candidates: what may replace it, at least one word.
    """

    start: int
    end: int
    candidates: Sequence[str]


class MaskedLM:
    """Replaces words by words that a masked language model expects in their places, as TinyBERT does.

    The candidates of a word that is one piece of the vocabulary are the words that the model holds for most
    probable there: the model reads the text with the word masked, and then the text as it is. The candidates
    of a word of several pieces are its neighbours in the model's own word embeddings. Stop words, numbers and
    what is no word stay (`kdpipe.augmentation.candidates`).

    Args:
        probability: probability of each word to be replaced.
        candidates: how many words may replace a word, all equally likely.

    Reference:
        Jiao et al. 2020, TinyBERT (arXiv 1909.10351), section 3.2 and algorithm 1. TinyBERT takes neighbours
        from GloVe, pairs every second text with one and the same first text, and leaves the word itself
        among its candidates.
    """

    needs_model: ClassVar[bool] = True

    def __init__(
        self, *, probability: Annotated[float, Field(gt=0, le=1)] = 0.4, candidates: PositiveInt = 15
    ) -> None:
        self._probability = probability
        self.candidates = candidates

    def rewrite(self, text: str, slots: Sequence[Slot], rng: np.random.Generator) -> str:
        """Return a copy of a text; the slots stand in their order."""
        pieces, end = [], 0
        for slot in compress(slots, rng.random(len(slots)) < self._probability):
            pieces += [text[end : slot.start], slot.candidates[int(rng.integers(len(slot.candidates)))]]
            end = slot.end
        return "".join([*pieces, text[end:]])


def with_copies(
    examples: Sequence[Example],
    first: int,
    find: Callable[[Sequence[str]], Sequence[Sequence[Slot]]],
    method: MaskedLM,
    copies: Copies,
) -> list[Example]:
    """Return examples, each followed by its copies.

    Args:
        examples: neighbouring examples of a split.
        first: the place of the first of these in the split.
        find: returns the slots of texts.
        method: replaces words.
        copies: makes and counts the copies.
    """
    pairs = {example.text_pair for example in examples if example.text_pair is not None}
    texts = sorted({example.text for example in examples} | pairs)
    slots = dict(zip(texts, find(texts), strict=True))

    def rewrite(text: str, rng: np.random.Generator) -> str:
        return method.rewrite(text, slots[text], rng)

    rows = ((example, *copies(example, place, rewrite)) for place, example in enumerate(examples, first))
    return [*chain.from_iterable(rows)]
