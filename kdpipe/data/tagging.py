"""From words with tags to rows of token ids: a word's tag belongs to its first piece.

A sentence is encoded as one text, and the place of a piece in the text decides its word. Encoding words one
by one would lose the blanks before them, which many tokenizers take for parts of words.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from kdpipe.data.encoding import (
    Encoded,
    label_position,
    lists,
    load_fast_tokenizer,
    one_row_each,
    without_empty,
)
from kdpipe.data.source import Example

BLANK = " "
NOWHERE = -1


class TaggingEncoder:
    """Words, the place of each word's first piece, and the positions of their tags among the labels.

    Args:
        tokenizer_file: a `tokenizer.json`.
        max_length: longest row, special tokens included; a longer row is cut at the end.
        labels: the tags in their order.
    """

    def __init__(self, tokenizer_file: Path, max_length: int, labels: Sequence[str]) -> None:
        self._tokenizer = load_fast_tokenizer(tokenizer_file)
        self._tokenizer.enable_truncation(max_length)
        self._positions = {label: position for position, label in enumerate(labels)}

    def __call__(self, examples: Sequence[Example]) -> Encoded:
        """Encode sentences; all have tags, or none has."""
        encodings = self._tokenizer.encode_batch([BLANK.join(example.words) for example in examples])
        filled, without = without_empty(self._tokenizer, examples, encodings)
        ends = [word_ends(example.words) for example in examples]
        places = [first_pieces(*pair) for pair in zip(encodings, ends, strict=True)]
        words = np.concatenate(places)
        sizes = np.fromiter(map(len, places), np.int32, len(places))
        extra = {"words": lists(words, sizes)}
        if examples[0].label is not None:
            tags = [label_position(tag, e.id, self._positions) for e in examples for tag in tags_of(e)]
            extra["labels"] = lists(np.array(tags, dtype=np.int16), sizes)
        cut = sum(map(_cut_words, encodings, ends))
        bare = int((words == NOWHERE).sum()) - cut
        counts = {"words": len(words), "cut_words": cut, "words_without_pieces": bare, **without}
        return one_row_each(examples, filled, extra, counts)


def tags_of(example: Example) -> tuple[str, ...]:
    """Return the tags of an example."""
    assert isinstance(example.label, tuple)
    return tuple(map(str, example.label))


def word_ends(words: Sequence[str]) -> NDArray[np.int64]:
    """Return the end of each word in its sentence, in characters [words]."""
    return np.cumsum([len(BLANK) + len(word) for word in words]) - len(BLANK)


def first_pieces(encoding: Encoding, ends: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the place of each word's first piece, -1 if the word was cut off or has no piece [words].

    Args:
        encoding: a sentence.
        ends: the ends of its words.
    """
    first = np.full(len(ends), NOWHERE, dtype=np.int32)
    owners = _owners(encoding, ends)
    # The first piece of a word is assigned last.
    places = np.flatnonzero(owners != NOWHERE)[::-1]
    first[owners[places]] = places
    return first


def _owners(encoding: Encoding, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the word of each piece, -1 for special tokens [pieces].

    A piece that begins with blanks belongs to the word after the blanks.
    """
    starts = [start for start, _ in encoding.offsets]
    owners = np.searchsorted(ends, starts, side="right")
    owners[np.array(encoding.special_tokens_mask, dtype=bool) | (owners == len(ends))] = NOWHERE
    return owners


def _cut_words(encoding: Encoding, ends: NDArray[np.int64]) -> int:
    """Return the number of words with all their pieces beyond the cut; words without pieces do not count."""
    beyond = {owner for piece in encoding.overflowing for owner in _owners(piece, ends).tolist()}
    return len(beyond - set(_owners(encoding, ends).tolist()) - {NOWHERE})
