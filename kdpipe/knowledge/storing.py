"""What is selected of a teacher's states, as it is stored: tokens in the order of their ranks.

Of each example there are the positions of its tokens, and of each signal the rows of these tokens. Rows have
all numbers; or the same columns in all examples; or, where each example keeps its own numbers, these numbers
one after the other, and a bit for each number that tells whether it is kept.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.anatomy.knowledge import Selection, Share, Ways, columns_of, stored_bytes
from kdpipe.anatomy.signals import BYTES, Signal, StoredPrecision
from kdpipe.knowledge.choosing import ChoosingTeacher
from kdpipe.knowledge.columns import BITS, COLUMNS, NUMBERS, PLACES, ROWS, SHARES, WAYS, most_tokens
from kdpipe.knowledge.rows import ChosenRows
from kdpipe.knowledge.width import kept_numbers
from kdpipe.signals.cache import FORM, POSITIONS, PRECISION, SHAPE
from kdpipe.signals.capture import Request, Signals
from kdpipe.signals.formats import StoredList, as_numbers, by_pair, narrowed, precision_of, row_shape
from kdpipe.signals.rows import Rows


class StoringTeacher(ChoosingTeacher):
    """A frozen model that gives what several selections take of its states together.

    Args:
        model, request, selection, separators, precision: as of `ChoosingTeacher`; the amount of the
            selection is not read.
        shares: what is taken of each signal.
    """

    def __init__(
        self,
        model: Any,
        request: Request,
        selection: Selection,
        separators: Sequence[int],
        precision: StoredPrecision,
        shares: Mapping[Signal, Sequence[Share]],
    ) -> None:
        super().__init__(model, request, selection, separators, precision)
        self.shares = shares

    def _capture(self, batch: Mapping[str, Any], late: bool = False) -> Signals:
        self._texts = batch["attention_mask"].sum(1).tolist()
        return super()._capture(batch, late)

    @property
    def tokens(self) -> int | None:
        return most_tokens([share for shares in self.shares.values() for share in shares])

    def select(self, signal: Signal, rows: ChosenRows) -> Rows:
        shares = self.shares[signal]
        if [*shares] == [Share()] and not signal.ranked:
            return Rows(rows.values, rows.places, rows.size, rows.positions)
        most = most_tokens(shares)
        first = rows if most is None else rows.first(most)
        kept = None
        if self._keeps_numbers(first, shares):
            kept = kept_by_any(first, shares, self.precision)
        taken = first.values, first.places, first.size, first.positions, None
        return PartRows(*taken, self._texts, self.selection, shares, kept)

    def _keeps_numbers(self, rows: ChosenRows, shares: Sequence[Share]) -> bool:
        """Tell whether each example keeps numbers of its own, and no share has all numbers of all tokens."""
        selection = self.selection
        if rows.values.dim() > 2 or selection.hidden_scheme != "magnitude" or selection.by_batch:
            return False
        return Share(most_tokens(shares)) not in shares


def kept_by_any(rows: ChosenRows, shares: Sequence[Share], precision: StoredPrecision) -> Tensor:
    """Return which numbers any of some shares takes as the largest of its tokens [N, W]."""
    kept = torch.zeros_like(rows.values, dtype=torch.bool)
    for share in shares:
        taken = rows.ranks < (rows.size[1] if share.tokens is None else share.tokens)
        if share.hidden is None:
            kept[taken] = True
            continue
        part = rows if share.tokens is None else rows.first(share.tokens)
        own = kept_numbers(part.values, part.lengths, "magnitude", share, precision)
        assert own is not None
        kept[taken] |= own
    return kept


@dataclass(frozen=True)
class PartRows(ChosenRows):
    """Rows of chosen tokens as they are stored.

    Args:
        texts: the tokens of each example, of which some are chosen.
        selection: how tokens and numbers were chosen.
        shares: what was taken of each example.
        kept: which numbers are stored of each row [N, W], where each example keeps its own.
    """

    texts: Sequence[int] = ()
    selection: Selection | None = None
    shares: Sequence[Share] = ()
    kept: Tensor | None = None

    def lists(self, signal: Signal, precision: StoredPrecision) -> Iterator[StoredList]:
        """Yield the columns that hold the rows, each with a list for each example."""
        assert self.selection is not None
        values = narrowed(self.values, signal, precision)
        bounds = np.cumsum(self.lengths)[:-1]
        if signal.ranked:
            places = (self.places % self.size[1]).cpu().numpy().astype(np.uint16)
            yield StoredList(f"{signal} {PLACES}", np.split(places, bounds), {FORM: PLACES})
        about = {
            FORM: ROWS,
            POSITIONS: self.positions,
            PRECISION: precision_of(signal, precision),
            WAYS: json.dumps([getattr(self.selection, field.name) for field in fields(Ways)]),
            SHARES: json.dumps([astuple(share) for share in self.shares]),
            SHAPE: json.dumps(row_shape(self, signal)),
        }
        if by_pair(signal):
            yield StoredList(str(signal), [*self._pairs(values)], about)
        elif self.kept is not None:
            kept = self.kept.cpu()
            numbers = [part[own] for part, own in zip(self._each(values), self._each(kept), strict=True)]
            bits = [np.packbits(own.numpy().reshape(-1)) for own in self._each(kept)]
            yield StoredList(str(signal), [as_numbers(each) for each in numbers], about | {FORM: NUMBERS})
            yield StoredList(f"{signal} {BITS}", bits, {FORM: BITS})
        else:
            columns = self._columns
            about |= {COLUMNS: json.dumps(columns)}
            rows = values.flatten(1) if columns is None else values[:, columns]
            yield StoredList(str(signal), [as_numbers(each) for each in self._each(rows)], about)

    def bytes_of(self, signal: Signal, length: int, precision: StoredPrecision) -> int:
        """Return the most bytes that an example of so many tokens takes."""
        assert self.selection is not None
        whole = self.values.dim() > 2 or self.selection.by_batch
        width = prod(row_shape(self, signal)) * (length if by_pair(signal) else 1)
        scheme, each = None if whole else self.selection.hidden_scheme, BYTES[precision_of(signal, precision)]
        return stored_bytes(self.shares, scheme, length, width, each, bool(signal.ranked))

    def _each(self, values: Tensor) -> Sequence[Tensor]:
        """Return the rows of each example."""
        return torch.split(values, self.lengths)

    def _pairs(self, values: Tensor) -> Iterator[NDArray[Any]]:
        """Yield the pairs of query and key of each example [N, A], from queries [N, A, L]."""
        for part, length in zip(self._each(values), self.texts, strict=True):
            pairs = part[..., :length].transpose(1, 2).flatten(0, 1)
            yield as_numbers(pairs.contiguous())

    @property
    def _columns(self) -> list[int] | None:
        """The columns that are stored of all rows; None for all columns."""
        assert self.selection is not None
        if self.values.dim() > 2 or self.selection.hidden_scheme == "magnitude":
            return None
        width = self.values.shape[1]
        taken = [columns_of(self.selection.hidden_scheme, share, width) for share in self.shares]
        if None in taken:
            return None
        return sorted({column for columns in taken for column in columns or ()})
