"""Text for language modelling: tokenized, without short sequences and unknown words, and cut to a length."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdpipe.data.encoding import Encoded, Ids, flat_ids, load_fast_tokenizer, row_names, to_batch, unknown_id
from kdpipe.data.source import Example
from kdpipe.errors import DataError


@dataclass(frozen=True)
class CleaningRules:
    """The sequences that a model is trained on.

    Args:
        max_length: longest sequence, special tokens included; longer sequences are split.
        frame: ids of the special tokens that begin and end every sequence, such as `[CLS]` and `[SEP]`, or
            none.
        unknown_id: id of the token for words outside the vocabulary, if there is one.
        min_length: shortest sequence, special tokens included; shorter sequences are dropped.
        max_unknown: share of unknown tokens from which a sequence is dropped.
    """

    max_length: int
    frame: Sequence[int]
    unknown_id: int | None
    min_length: int = 12
    max_unknown: float = 0.5


class Cleaned(NamedTuple):
    """Cleaned sequences, and the numbers of split and dropped sequences.

    Args:
        ids: token ids of all sequences, one after the other.
        lengths: tokens of each sequence.
        origins: for each sequence, the position of the sequence that it comes from.
        pieces: for each sequence, its number among the pieces of its origin, from 0.
        counts: numbers of sequences `split`, and of pieces `dropped_short` and `dropped_unknown`.
    """

    ids: Ids
    lengths: Ids
    origins: NDArray[np.int64]
    pieces: NDArray[np.int64]
    counts: Counter[str]


class LanguageModelEncoder:
    """Text for language modelling: whole, unless `clean` splits or drops it.

    Args:
        tokenizer_file: a `tokenizer.json`.
        max_length: longest row, special tokens included.
    """

    def __init__(self, tokenizer_file: Path, max_length: int) -> None:
        self._tokenizer = load_fast_tokenizer(tokenizer_file)
        frame = self._tokenizer.encode("").ids
        if len(frame) not in (0, 2):
            raise DataError(
                f"{tokenizer_file}: expected a tokenizer that puts one special token before a text"
                f" and one after it, or none at all; found {len(frame)}"
            )
        self._rules = CleaningRules(max_length, frame, unknown_id(self._tokenizer))

    def __call__(self, examples: Sequence[Example]) -> Encoded:
        """Encode and clean; a later piece of a split example is named `id#piece`."""
        encodings = self._tokenizer.encode_batch_fast([example.text for example in examples])
        ids, lengths, origins, pieces, counts = clean(*flat_ids(encodings), self._rules)
        names = row_names(examples, origins, pieces)
        counts.update(examples=len(examples), rows=len(names), tokens=len(ids))
        return Encoded(to_batch(names, ids, lengths), counts)


def clean(ids: Ids, lengths: Ids, rules: CleaningRules) -> Cleaned:
    """Split long sequences, then drop short sequences, then sequences of mostly unknown tokens.

    Args:
        ids: token ids of all sequences, one after the other, with their special tokens.
        lengths: tokens of each sequence [B], at least 1.
        rules: lengths, special tokens and the share of unknown tokens.

    Reference:
        github.com/frankaging/Causal-Distill, `distillation/lm_seqs_dataset.py`, after Hugging
        Face's distillation research project.
    """
    long = int(np.count_nonzero(lengths > rules.max_length))
    ids, lengths, origins, pieces = _split_all(ids, lengths, rules)
    short = lengths < rules.min_length
    unknown = ~short & (_unknown_share(ids, lengths, rules.unknown_id) >= rules.max_unknown)
    keep = ~(short | unknown)
    counts = Counter(
        split=long, dropped_short=int(np.count_nonzero(short)), dropped_unknown=int(np.count_nonzero(unknown))
    )
    ids = ids[np.repeat(keep, lengths)]
    return Cleaned(ids, lengths[keep], origins[keep], pieces[keep], counts)


def split_long(sequence: Ids, rules: CleaningRules) -> list[Ids]:
    """Cut a sequence, special tokens included, into pieces that have the special tokens again.

    The cuts are every `max_length - 2` ids. The first piece lacks only its last token, so it is one shorter
    than the pieces in the middle.
    """
    width = rules.max_length - len(rules.frame)
    cuts = [sequence[start : start + width] for start in range(0, len(sequence), width)]
    return [_framed(cut, rules) for cut in cuts]


def _framed(cut: Ids, rules: CleaningRules) -> Ids:
    if not rules.frame:
        return cut
    first, last = rules.frame
    before = [] if cut[0] == first else [first]
    after = [] if cut[-1] == last else [last]
    return np.concatenate((before, cut, after), dtype=cut.dtype, casting="unsafe")


def _split_all(
    ids: Ids, lengths: Ids, rules: CleaningRules
) -> tuple[Ids, Ids, NDArray[np.int64], NDArray[np.int64]]:
    positions = np.arange(len(lengths))
    if not len(lengths) or lengths.max() <= rules.max_length:
        return ids, lengths, positions, np.zeros_like(positions)
    sequences = np.split(ids, np.cumsum(lengths)[:-1])
    parts = [
        split_long(sequence, rules) if len(sequence) > rules.max_length else [sequence]
        for sequence in sequences
    ]
    origins = np.repeat(positions, [len(part) for part in parts])
    pieces = np.concatenate([np.arange(len(part)) for part in parts])
    flat = [piece for part in parts for piece in part]
    return np.concatenate(flat), np.array([len(p) for p in flat], lengths.dtype), origins, pieces


def _unknown_share(ids: Ids, lengths: Ids, unknown_id: int | None) -> NDArray[np.float64]:
    if unknown_id is None or not len(lengths):
        return np.zeros(len(lengths))
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    unknown = np.add.reduceat(ids == unknown_id, starts, dtype=np.int64)
    return np.asarray(unknown / lengths, dtype=np.float64)
