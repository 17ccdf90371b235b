"""The examples of a split as another tokenizer encodes them.

Answers to questions begin and end at tokens. Two tokenizers cut a context into different tokens and windows,
which are matched by their characters.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.data.batches import Batch, Collator
from kdpipe.data.encoded import EncodedSplit, SomeRows
from kdpipe.errors import DataError

Integers = NDArray[np.int64]
# More characters than a context has.
APART = 2**40
# A character after all others, where a token is looked for before the first one or after the last.
NOWHERE = 2**62
# The number of windows whose tokens are read at a time.
WINDOWS = 8192


class Counterpart(SomeRows):
    """For each example of a split, the same example as another tokenizer encodes it.

    A window's counterpart is a window with all of its context, which may hold more of the context.

    Args:
        theirs: the split as the other tokenizer encodes it.
        ours: the split.

    Attributes:
        usable: whether the outputs on each example can be compared: if both tokenizers kept the same words of
            a sentence, or one window of theirs holds all the context of ours.
        theirs: as given.

    Raises:
        DataError: the splits have different examples, or the same in another order.
    """

    def __init__(self, theirs: EncodedSplit, ours: EncodedSplit) -> None:
        if not _same_ids(theirs, ours):
            raise DataError(
                f"{theirs.path} has other examples than {ours.path}, or another order; teacher and student"
                " must read one dataset, and their tokenizers must leave out the same examples"
            )
        if ours.windowed:
            rows, self.usable = _holding(_Pieces(theirs), _Pieces(ours))
        else:
            rows, self.usable = np.arange(len(ours)), theirs.logit_counts == ours.logit_counts
        # A place takes 4 bytes: an integer of 8 bytes for each example would take too much memory.
        super().__init__(theirs, rows.astype(np.int32))
        self.theirs, self._ours = theirs, ours

    def matches(self, indices: Integers) -> Mapping[str, Tensor]:
        """Return which tokens of some windows match, counted through all windows without padding.

        Returns:
            The window of each of their tokens (`theirs`) and of our tokens (`ours`). For `starts` and `ends`,
            places of their tokens and of our tokens [2, M]: where an answer starts or ends with theirs, it
            does with ours. The first tokens of windows stand for answers outside the window, and for none.
        """
        theirs, ours = _Tokens(self, indices), _Tokens(self._ours, indices)
        first = np.stack([theirs.firsts, ours.firsts])
        arrays = {"theirs": theirs.windows, "ours": ours.windows}
        for name, found in (("starts", ours.starting(theirs)), ("ends", ours.ending(theirs))):
            arrays[name] = np.concatenate([first, np.stack([theirs.places, found])], axis=1)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class CounterpartCollator(Collator):
    """Makes batches of the examples of a split as another tokenizer encodes them.

    Batches of windows have `matches`, which tells the tokens of both tokenizers that match.

    Args:
        split: the examples.
        pad_id: as of `Collator`.

    Attributes:
        usable: as of `Counterpart`.
    """

    split: Counterpart

    def __init__(self, split: Counterpart, pad_id: int) -> None:
        super().__init__(split, pad_id)
        self.usable = split.usable

    def part_of(self, whole: Integers, places: Integers) -> Batch:
        batch = super().part_of(whole, places)
        return {**batch, "matches": self.split.matches(whole[places])} if self.split.windowed else batch


def _same_ids(theirs: EncodedSplit, ours: EncodedSplit) -> bool:
    """Tell whether two splits have the same examples, whatever their windows, in one order."""
    if not ours.windowed:
        return bool(theirs.ids.equals(ours.ids))
    firsts = [np.flatnonzero(_begins(split)) for split in (theirs, ours)]
    if len(firsts[0]) != len(firsts[1]):
        return False
    blocks = range(0, len(firsts[0]), WINDOWS)
    one, other = (
        (split.ids.take(pa.array(places[start : start + WINDOWS])) for start in blocks)
        for split, places in zip((theirs, ours), firsts, strict=True)
    )
    return all(ids.equals(same) for ids, same in zip(one, other, strict=True))


def _begins(split: EncodedSplit) -> NDArray[np.bool_]:
    """Return which windows are the first ones of their questions."""
    questions = split.column("example").values()
    return np.append(True, questions[1:] != questions[:-1])


class _Pieces:
    """The pieces of contexts that the windows of a split hold, in order; pieces of one question overlap.

    Attributes:
        starts, ends: the characters of each piece; characters of different questions are far apart. The first
            piece of a question starts before all characters, and the last one ends after all. A piece of
            blanks alone is taken to be where the piece before it is.
    """

    def __init__(self, split: EncodedSplit) -> None:
        begins = _begins(split)
        base = (np.cumsum(begins) - 1) * APART
        starts, ends = np.empty_like(base), np.empty_like(base)
        for start in range(0, len(split), WINDOWS):
            block = np.arange(start, min(start + WINDOWS, len(split)))
            starts[block], ends[block] = _Tokens(split, block).bounds()
        starts, ends = (np.maximum.accumulate(each + base) for each in (starts, ends))
        self.starts = np.where(begins, base, starts)
        self.ends = np.where(np.append(begins[1:], True), base + APART - 1, ends)


def _holding(theirs: _Pieces, ours: _Pieces) -> tuple[Integers, NDArray[np.bool_]]:
    """Return a window of theirs for each of ours, and whether it holds the piece of ours.

    Pieces that start later end later, so that the last one which starts early enough holds most.
    """
    rows = np.searchsorted(theirs.starts, ours.starts, side="right") - 1
    return rows, theirs.ends[rows] >= ours.ends


class _Tokens:
    """The tokens of some windows.

    Attributes:
        windows: the window of each token, from 0.
        firsts: the place of the first token of each window.
        places: the place of each token of a context; tokens of blanks alone are none.
        starts, ends: the characters of these; characters of different windows are far apart.
    """

    def __init__(self, split: EncodedSplit, indices: Integers) -> None:
        lengths = split.lengths[indices].astype(np.int64)
        self.windows = np.repeat(np.arange(len(indices)), lengths)
        self.firsts = np.cumsum(lengths) - lengths
        starts, ends = (split.column(name)[indices].astype(np.int64) for name in ("starts", "ends"))
        self.places = np.flatnonzero(starts < ends)
        self.window = self.windows[self.places]
        self.starts, self.ends = (each[self.places] + self.window * APART for each in (starts, ends))

    def bounds(self) -> Integers:
        """Return the characters at which the context in each window starts and ends [2, B]; 0 without any."""
        every = np.arange(len(self.firsts))
        first, last = (np.searchsorted(self.window, every, side) for side in ("left", "right"))
        starts, ends = (np.append(each, NOWHERE) for each in (self.starts, self.ends))
        return np.where(first < last, np.stack([starts[first], ends[last - 1]]) - every * APART, 0)

    def starting(self, theirs: "_Tokens") -> Integers:
        """Return for each of their tokens the token that an answer starts with if it starts with theirs.

        As in encoding, it is the first token that ends after the character.
        """
        return self._meeting(np.searchsorted(self.ends, theirs.starts, side="right"), theirs)

    def ending(self, theirs: "_Tokens") -> Integers:
        """Return for each of their tokens the token that an answer ends with if it ends with theirs.

        As in encoding, it is the last token that starts before the character.
        """
        return self._meeting(np.searchsorted(self.starts, theirs.ends, side="left") - 1, theirs)

    def _meeting(self, found: Integers, theirs: "_Tokens") -> Integers:
        """Return the places of tokens that share a character with theirs, else of the first of the window."""
        tokens = (self.starts, self.ends, self.places)
        starts, ends, places = (np.append(each, NOWHERE)[found] for each in tokens)
        meets = (starts < theirs.ends) & (ends > theirs.starts)
        return np.where(meets, places, self.firsts[theirs.window])
