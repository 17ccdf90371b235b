"""Copies of examples, whose texts a function rewrites; and a source with copies that have other words."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from kdpipe.augmentation.method import WordMethod
from kdpipe.data.source import TRAIN, Example, Source
from kdpipe.data.views import View
from kdpipe.errors import DataError
from kdpipe.seeds import AUGMENTATION, draw_seed

# Returns a copy of a text, by draws.
Rewrite = Callable[[str, np.random.Generator], str]


class Copies:
    """Makes the copies of examples, and counts them.

    A copy that has the words of its original or of an earlier copy is left out, and so is a copy of which a
    text has lost all its words.

    Args:
        number: copies of each example.
        seed: seed of the draws; what an example becomes depends on the seed and on the place of the example.

    Attributes:
        counts: numbers of the `copies`, and of copies that were `left_out`.
    """

    def __init__(self, number: int, seed: int) -> None:
        self._number = number
        self._seed = seed
        self.counts = Counter[str]()

    def __call__(self, example: Example, place: int, rewrite: Rewrite) -> Iterator[Example]:
        """Yield the copies of an example; their ids are the original's, `+`, and a number.

        Both texts of a pair are rewritten, each by its own draws.

        Args:
            example: the original.
            place: its place in the split.
            rewrite: rewrites a text.
        """
        rng = np.random.default_rng(draw_seed(self._seed, AUGMENTATION, place))
        texts = [example.text] if example.text_pair is None else [example.text, example.text_pair]
        original = _words(texts)
        known = {original}
        for number in range(1, self._number + 1):
            copy = [rewrite(text, rng) for text in texts]
            words = _words(copy)
            if words in known or any(had and not has for had, has in zip(original, words, strict=True)):
                self.counts["left_out"] += 1
                continue
            known.add(words)
            self.counts["copies"] += 1
            text_pair = copy[1] if copy[1:] else None
            yield example._replace(id=f"{example.id}+{number}", text=copy[0], text_pair=text_pair)


class Augmented(View):
    """A source whose training examples are each followed by copies with other words.

    Words are what stands between blanks; each copy has one blank between two words.

    Args:
        source: the source.
        method: changes the words of a text.
        copies: makes the copies, and counts the copies of the last reading.
        mask_token: what stands for a masked word; None where the tokenizer has no such token.
    """

    def __init__(self, source: Source, method: WordMethod, copies: Copies, mask_token: str | None) -> None:
        super().__init__(source)
        self._method = method
        self._copies = copies
        self._mask_token = mask_token

    def read(self, split: str) -> Iterator[Example]:
        """Yield the examples, and in the training split after each example its copies."""
        return self._with_copies() if split == TRAIN else self._source.read(split)

    def _with_copies(self) -> Iterator[Example]:
        self._copies.counts.clear()
        for place, example in enumerate(self._source.read(TRAIN)):
            yield example
            yield from self._copies(example, place, self._rewrite)

    def _rewrite(self, text: str, rng: np.random.Generator) -> str:
        return " ".join(self._mask() if word is None else word for word in self._method(text.split(), rng))

    def _mask(self) -> str:
        if self._mask_token is None:
            raise DataError(
                "expected a tokenizer with a mask token for `augment: {method: mask}`, found one without;"
                " take another method, or a model whose tokenizer has one"
            )
        return self._mask_token


def _words(texts: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(text.split()) for text in texts)
