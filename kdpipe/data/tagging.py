"""From words with tags to rows of token ids: a word's tag belongs to its first piece."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Encoding
from tokenizers.pre_tokenizers import ByteLevel

from kdpipe.data.encoding import Encoded, flat_ids, label_position, lists, load_tokenizer, to_batch
from kdpipe.data.source import Example

NOWHERE = -1


class TaggingEncoder:
    """Words, where the first piece of each stands, and the positions of their tags among the labels.

    Args:
        tokenizer_file: a `tokenizer.json`.
        max_length: longest row, special tokens included; what is longer is cut at the end.
        labels: the tags in their order.
    """

    def __init__(self, tokenizer_file: Path, max_length: int, labels: Sequence[str]) -> None:
        self._tokenizer = load_tokenizer(tokenizer_file)
        self._tokenizer.enable_truncation(max_length)
        self._positions = {label: position for position, label in enumerate(labels)}
        # To a byte-level tokenizer the blank before a word is part of it.
        self._blank = " " if isinstance(self._tokenizer.pre_tokenizer, ByteLevel) else ""

    def __call__(self, examples: Sequence[Example]) -> Encoded:
        """Encode sentences, all of which have tags, or none.

        Raises:
            DataError: a tag is not one of the labels.
        """
        encodings = self._tokenizer.encode_batch(
            [self._words(example.words) for example in examples], is_pretokenized=True
        )
        ids, lengths = flat_ids(encodings)
        places = [first_pieces(e, len(x.words)) for e, x in zip(encodings, examples, strict=True)]
        words = np.concatenate(places)
        sizes = np.fromiter(map(len, places), np.int32, len(places))
        extra = {"words": lists(words, sizes)}
        if examples[0].label is not None:
            tags = [label_position(tag, e.id, self._positions) for e in examples for tag in tags_of(e)]
            extra["labels"] = lists(np.array(tags, dtype=np.int16), sizes)
        cut = sum(map(_cut_words, encodings))
        counts = Counter(
            examples=len(examples),
            rows=len(examples),
            tokens=len(ids),
            words=len(words),
            cut_words=cut,
            words_without_pieces=int((words == NOWHERE).sum()) - cut,
            truncated=sum(1 for encoding in encodings if encoding.overflowing),
        )
        return Encoded(to_batch([example.id for example in examples], ids, lengths, extra), counts)

    def _words(self, words: Sequence[str]) -> list[str]:
        return [f"{self._blank}{word}" if index else word for index, word in enumerate(words)]


def tags_of(example: Example) -> tuple[str, ...]:
    """Return the tags of an example."""
    assert isinstance(example.label, tuple)
    return tuple(map(str, example.label))


def first_pieces(encoding: Encoding, words: int) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
    """Return the position of each word's first piece, -1 where it was cut off or has no piece [words]."""
    found = np.full(words, NOWHERE, dtype=np.int32)
    owners = [NOWHERE if owner is None else owner for owner in encoding.word_ids]
    for position in range(len(owners) - 1, -1, -1):
        if owners[position] != NOWHERE:
            found[owners[position]] = position
    return found


def _cut_words(encoding: Encoding) -> int:
    """Return how many words have all their pieces beyond the cut; one that is dropped whole has none."""
    beyond = {owner for piece in encoding.overflowing for owner in piece.word_ids}
    return len(beyond - set(encoding.word_ids) - {None})
