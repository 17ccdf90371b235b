"""The stored part of a teacher's states, read from the mapped file as batches ask for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.anatomy.knowledge import Selection, Share, Ways, covers, differing_way
from kdpipe.anatomy.signals import Signal, StoredPrecision
from kdpipe.data.encoded import EncodedSplit, ragged
from kdpipe.data.mapped import MappedColumn, open_batches
from kdpipe.data.targets import Targets
from kdpipe.errors import KdpipeError
from kdpipe.knowledge.choosing import compared, is_selected
from kdpipe.knowledge.columns import BITS, COLUMNS, PLACES, SHARES, WAYS, most_tokens
from kdpipe.knowledge.rows import ChosenRows
from kdpipe.signals.cache import PRECISION, SHAPE, CachedKnowledge
from kdpipe.signals.capture import Request, Signals
from kdpipe.signals.formats import by_pair, restored
from kdpipe.signals.rows import Rows


class SelectedKnowledge(CachedKnowledge):
    """What a selection takes of a teacher's stored states, and its stored outputs.

    Args:
        path, split, targets: as of `CachedKnowledge`.
        selection: what is taken.
        request: the signals that losses read; no others are read from the file.

    Raises:
        KdpipeError: as of `CachedKnowledge`, or the file has less than the selection takes.
    """

    def __init__(
        self,
        path: Path,
        split: EncodedSplit,
        selection: Selection,
        request: Request,
        targets: Targets | None = None,
    ) -> None:
        super().__init__(path, split, targets)
        self.selection = selection
        self._lengths = split.lengths
        self.columns = {signal: self.columns[signal] for signal in request.outputs if signal in self.columns}
        batches = open_batches(path)
        columns = {
            name: MappedColumn([batch.column(name) for batch in batches]) for name in batches[0].schema.names
        }
        fields = {field.name: field.metadata for field in batches[0].schema}
        self._parts = {
            signal: _Part.of(signal, columns, fields)
            for signal in filter(is_selected, request.signals)
            if str(signal) in columns
        }
        rows = np.tile(split.lengths.astype(np.int64), (targets and targets.maskings) or 1)
        if any(not part.fits(rows) for part in self._parts.values()):
            raise KdpipeError(
                f"{path} holds the teacher's states on other tokens than the student reads; matching states"
                " or attentions needs equal tokenizers"
            )

    def require(self, request: Request) -> None:
        """Raise KdpipeError if the file lacks signals that losses read, or has less of them."""
        super().require(Request(tuple(request.outputs), request.positions))
        for signal in filter(is_selected, request.signals):
            part, wanted = self._parts.get(signal), self.selection.stored
            if part is None:
                what = f"the losses read the teacher's {signal}, which the file lacks"
                raise KdpipeError(f"{self.path}: {what}; cache the teacher for these losses")
            if way := differing_way(part.ways, part.shares, self.selection, bool(signal.ranked)):
                name, found, own = way
                what = f"{name} of the file is {found}, found {own}"
                raise KdpipeError(f"{self.path}: {what}; cache the teacher for this knowledge")
            if not part.covers(wanted, self.selection):
                what = f"the knowledge of {signal} is {wanted}, of which the file has a part"
                raise KdpipeError(f"{self.path}: {what}; cache the teacher for this amount")

    def batch(self, rows: NDArray[np.int64], batch: Mapping[str, Any]) -> Signals:
        chosen = {signal: self._chosen(part, rows, batch) for signal, part in self._parts.items()}
        return super().batch(rows, batch) | chosen

    def _chosen(self, part: "_Part", rows: NDArray[np.int64], batch: Mapping[str, Any]) -> Rows:
        """Return the rows of a signal that are compared, of the best tokens of some examples."""
        lengths = self._lengths[rows % len(self._lengths)].astype(np.int64)
        tokens = self.selection.amount.tokens
        counts = lengths if tokens is None else np.minimum(lengths, tokens)
        size = tuple(batch["input_ids"].shape)
        first = torch.arange(0, size[0] * size[1], size[1]).repeat_interleave(torch.from_numpy(counts))
        places = first + torch.from_numpy(part.positions(rows, counts))
        values, kept = part.values(rows, counts, lengths, size[1])
        chosen = ChosenRows(values, places, size, "tokens")
        known = kept if part.shares == (self.selection.share,) else None
        return compared(chosen, self.selection, part.precision, known)


@dataclass(frozen=True)
class _Part:
    """The stored part of a signal.

    Args:
        column: its rows, or the numbers of these that are kept.
        bits: which numbers of its rows are kept; None where rows have all, or the same columns.
        places: the positions of its tokens in their texts; None where these are the first ones.
        shape: the shape of a row that has all numbers.
        precision: the precision of the numbers.
        ways: how it was taken.
        shares: what was taken.
        columns: the columns of its rows; None for all.
        pairs: whether it is stored by pair of query and key.
    """

    column: MappedColumn
    bits: MappedColumn | None
    places: MappedColumn | None
    shape: tuple[int, ...]
    precision: StoredPrecision
    ways: Ways
    shares: tuple[Share, ...]
    columns: list[int] | None
    pairs: bool

    @classmethod
    def of(
        cls, signal: Signal, columns: Mapping[str, MappedColumn], fields: Mapping[str, Mapping[bytes, bytes]]
    ) -> "_Part":
        """Return the part of a signal from the columns of a file and their metadata."""
        about = {key.decode(): value.decode() for key, value in fields[str(signal)].items()}
        return cls(
            columns[str(signal)],
            columns.get(f"{signal} {BITS}"),
            columns.get(f"{signal} {PLACES}"),
            tuple(json.loads(about[SHAPE])),
            about[PRECISION],  # type: ignore[arg-type]
            Ways(*json.loads(about.get(WAYS, "[null, null, null]"))),
            # A column without this has whole states.
            tuple(Share(*share) for share in json.loads(about.get(SHARES, "[[null, null]]"))),
            json.loads(about.get(COLUMNS, "null")),
            by_pair(signal),
        )

    def fits(self, lengths: NDArray[np.int64]) -> bool:
        """Tell whether it is of texts with so many tokens [N]."""
        most = most_tokens(self.shares)
        counts = lengths if most is None else np.minimum(lengths, most)
        if self.bits is not None:
            return bool((self.bits.lengths() == -(counts * self.shape[-1] // -8)).all())
        return bool((self.column.lengths() == (counts * lengths if self.pairs else counts)).all())

    def covers(self, wanted: Share, selection: Selection) -> bool:
        """Tell whether a share can be taken of it."""
        # Of attentions and of heads no width is taken.
        whole = len(self.shape) > 1 or self.pairs
        share = replace(wanted, hidden=None, seed=0) if whole else wanted
        stored = [replace(each, hidden=None, seed=0) for each in self.shares] if whole else self.shares
        return covers(stored, share, selection.hidden_scheme, self.shape[-1])

    def positions(self, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions of so many of the best tokens of some examples [N]."""
        if self.places is None:
            return ragged(np.zeros_like(counts), counts)
        return self.places.first(rows, counts).astype(np.int64)

    def values(
        self, rows: NDArray[np.int64], counts: NDArray[np.int64], texts: NDArray[np.int64], width: int
    ) -> tuple[Tensor, Tensor | None]:
        """Return the rows of so many of the best tokens of some examples, and which numbers are stored.

        Args:
            rows: the rows of the examples in the file [B].
            counts: tokens of each example [B].
            texts: all tokens of each example [B].
            width: keys of a query, with padding.
        """
        if self.pairs:
            pairs = restored(self.column.first(rows, counts * texts), self.precision)
            return _queries(pairs, counts, texts, width), None
        if self.bits is not None:
            return self._kept(self.bits, rows, counts)
        found = restored(self.column.first(rows, counts), self.precision)
        if self.columns is None:
            return found.view(-1, *self.shape), None
        whole = found.new_zeros(len(found), *self.shape)
        whole[:, torch.tensor(self.columns)] = found
        return whole, None

    def _kept(
        self, bits: MappedColumn, rows: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        [width] = self.shape
        packed = np.split(bits[rows], np.cumsum(bits.lengths_of(rows))[:-1])
        numbers = (counts * width).tolist()
        each = [np.unpackbits(part, count=count) for part, count in zip(packed, numbers, strict=True)]
        kept = torch.from_numpy(np.concatenate(each)).bool()
        taken = np.array([int(own.sum()) for own in each])
        whole = torch.zeros(len(kept), dtype=getattr(torch, self.precision))
        whole[kept] = restored(self.column.first(rows, taken), self.precision)
        return whole.view(-1, width), kept.view(-1, width)


def _queries(pairs: Tensor, counts: NDArray[np.int64], texts: NDArray[np.int64], width: int) -> Tensor:
    """Return queries [N, A, L] from the pairs of the chosen queries with all keys of each example [P, A]."""
    heads, sizes = pairs.shape[1], zip(counts.tolist(), texts.tolist(), strict=True)
    whole = pairs.new_zeros(int(counts.sum()), heads, width)
    starts = np.cumsum(counts) - counts
    parts = torch.split(pairs, (counts * texts).tolist())
    for start, part, (count, length) in zip(starts.tolist(), parts, sizes, strict=True):
        whole[start : start + count, :, :length] = part.view(count, length, heads).transpose(1, 2)
    return whole
