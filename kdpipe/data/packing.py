"""Texts for language modelling joined one after the other, and cut into rows of one length.

Reference:
    The group texts of `run_mlm.py` of transformers, by which github.com/frankaging/Causal-Distill measures
    perplexity; it joins a thousand texts at a time, and drops what is left of each thousand.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from kdpipe.data.corpus import CleaningRules
from kdpipe.data.encoding import Encoded, Ids, flat_ids, load_fast_tokenizer, to_batch
from kdpipe.data.source import Example


class WholeTextEncoder:
    """Texts as they are, of any length, with their special tokens.

    Args:
        tokenizer_file: a `tokenizer.json`.
    """

    def __init__(self, tokenizer_file: Path) -> None:
        self._tokenizer = load_fast_tokenizer(tokenizer_file)

    def __call__(self, examples: Sequence[Example]) -> Encoded:
        """Encode texts, a row each."""
        ids, lengths = flat_ids(self._tokenizer.encode_batch_fast([example.text for example in examples]))
        names = [example.id for example in examples]
        return Encoded(to_batch(names, ids, lengths), Counter(examples=len(examples), rows=len(examples)))


def packed(encoded: Iterable[Encoded], length: int) -> Iterator[Encoded]:
    """Yield rows of one length that all texts fill, whatever the chunks that they come in.

    The last row is shorter, or dropped where it is shorter than the shortest text that a model is trained on.
    Rows are named by their numbers.

    Args:
        encoded: rows of whole texts.
        length: tokens of a row.
    """
    rest, rows = np.empty(0, dtype=np.int32), 0
    for batch, counts in encoded:
        ids = np.concatenate([rest, batch.column("input_ids").flatten().to_numpy()])
        whole = len(ids) // length
        seen = Counter(examples=counts["examples"])
        yield _rows(ids[: whole * length], np.full(whole, length, dtype=np.int32), rows, seen)
        rest, rows = ids[whole * length :], rows + whole
    if len(rest) < CleaningRules.min_length:
        yield _rows(rest[:0], np.empty(0, dtype=np.int32), rows, Counter(dropped_short=int(len(rest) > 0)))
    else:
        yield _rows(rest, np.array([len(rest)], dtype=np.int32), rows, Counter())


def _rows(ids: Ids, lengths: Ids, first: int, counts: Counter[str]) -> Encoded:
    names = [str(first + place) for place in range(len(lengths))]
    return Encoded(to_batch(names, ids, lengths), counts + Counter(rows=len(names), tokens=len(ids)))
