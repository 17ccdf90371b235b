"""What is exchanged in a batch: a source for each example, and the positions that are read and written.

All draws depend on the seed, the epoch and the examples, never on the number of processes. Teacher and
student share them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kdpipe.anatomy.alignments import PositionRule, SourceRule, SwapRule
from kdpipe.data.batches import Batch, Tokens, padded_width
from kdpipe.data.draws import uniform
from kdpipe.data.encoded import EncodedSplit, ragged
from kdpipe.data.targets import Integers64, Targets
from kdpipe.errors import KdpipeError
from kdpipe.seeds import ALIGNMENT, PAIRING, POSITIONS, REPLACEMENT, draw_seed

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How sources and positions are chosen.

    Args:
        positions: `consecutive` or `scattered` positions of both texts; or the `masked` positions of the
            base, and as many scattered positions of the source.
        proportion: the share of the shorter text that is exchanged; without a meaning for `masked`.
        max_tokens: the most positions that are exchanged; without a meaning for `masked`.
        sources: `fixed` for one permutation of the examples, `epoch` for a permutation of each epoch;
            `in_context` for the same text with other tokens at the positions that are exchanged.
        swap: whether `activations` are exchanged or `tokens`.
    """

    positions: PositionRule = "consecutive"
    proportion: float = 0.3
    max_tokens: int | None = None
    sources: SourceRule = "fixed"
    swap: SwapRule = "activations"

    def counts(self, shorter: Integers64) -> Integers64:
        """Return the numbers of positions that are exchanged, from the lengths of the shorter texts [B]."""
        counts: Integers64 = (shorter * self.proportion).astype(np.int64)
        return counts if self.max_tokens is None else np.minimum(counts, self.max_tokens)


@dataclass
class Exchanges:
    """Chooses what is exchanged in the batches of a split.

    Args:
        split: the examples.
        pad_id: id of the padding token.
        choice: how sources and positions are chosen.
        alternatives: the number of pairs of sites of each entry of the alignment.
        seed: seed of the draws.
        targets: which tokens are to be predicted, for language modelling.
        special: ids of special tokens, which `in_context` leaves as they are.
        counts: occurrences of each token [V], from which `in_context` draws.

    Raises:
        KdpipeError: `masked` positions are wanted where nothing is masked, or counts are missing.
    """

    split: EncodedSplit
    pad_id: int
    choice: Choice
    alternatives: Sequence[int]
    seed: int
    targets: Targets | None = None
    special: Sequence[int] = ()
    counts: NDArray[np.int64] | None = None
    _pairing: dict[int, NDArray[Any]] = field(default_factory=dict, init=False)
    _shares: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        if self.choice.positions == "masked" and not (self.targets and self.targets.masks):
            raise KdpipeError(
                "interchange.positions: `masked` needs a model that predicts masked tokens; take"
                " `consecutive` or `scattered`"
            )
        if self.choice.sources == "in_context" and self.counts is None:
            raise KdpipeError("interchange.sources: `in_context` draws from counts of tokens, found none")
        if self.counts is not None:
            weights = self.counts.astype(np.float64)
            weights[list(self.special)] = 0
            self._shares = np.cumsum(weights) / weights.sum()

    def batch(self, whole: Integers64, places: Integers64, epoch: int, tokens: Tokens) -> Batch:
        """Return what is exchanged in the part of a batch whose examples stand in some places of it.

        Args:
            whole: the examples of the batch [B].
            places: the places of the part's examples [P].
            epoch: number of the epoch.
            tokens: the tokens of the whole batch.

        Returns:
            `choice`, the entry of the alignment and its alternative; and for activations the `source`, and
            the rows that are read (`read`) and written (`write`) [K], places in the flattened source and base
            of the part; for tokens the tokens of the base with those of the source among them (`mixed`).
        """
        source = self._source(whole, epoch, tokens)
        ours, theirs = self._positions(whole, epoch, tokens, source)
        if self.choice.sources == "in_context":
            self._replace(source, theirs, whole, epoch)
        batch: Batch = {"choice": self._drawn(whole, epoch)}
        width = padded_width(tokens.lengths[places], self.split.longest)
        if self.choice.swap == "tokens":
            mixed = tokens.read.copy()
            mixed[ours] = source.read[theirs]
            return batch | {"mixed": torch.from_numpy(mixed[places, :width])}
        length = padded_width(source.lengths[places], self.split.longest)
        write, read = np.flatnonzero(ours[places, :width]), np.flatnonzero(theirs[places, :length])
        rows = {"write": torch.from_numpy(write), "read": torch.from_numpy(read)}
        return batch | rows | {"source": self._inputs(source, places, length)}

    def _source(self, whole: Integers64, epoch: int, tokens: Tokens) -> Tokens:
        """Return the tokens of the sources of a batch, cut where the batch ends."""
        if self.choice.sources == "in_context":
            return replace(tokens, read=tokens.read.copy())
        sources = self.sources(whole, epoch)
        lengths = np.minimum(self.split.lengths[sources], tokens.read.shape[1]).astype(np.int64)
        original = _first_tokens(self.split, "input_ids", sources, lengths, self.pad_id)
        return Tokens.of(original, lengths, sources, epoch, self.targets)

    def sources(self, examples: Integers64, epoch: int) -> Integers64:
        """Return the source of each of some examples [B]: one permutation pairs all examples."""
        number = epoch if self.choice.sources == "epoch" else 0
        if number not in self._pairing:
            size = len(self.split)
            # Half the memory of 64 bits.
            order = np.arange(size, dtype=np.int32 if size <= np.iinfo(np.int32).max else np.int64)
            np.random.default_rng(draw_seed(self.seed, PAIRING, number)).shuffle(order)
            self._pairing = {number: order}
        sources: Integers64 = self._pairing[number][examples].astype(np.int64)
        return sources

    def _positions(
        self, whole: Integers64, epoch: int, tokens: Tokens, source: Tokens
    ) -> tuple[Bools, Bools]:
        """Return the positions of base and source that are exchanged [B, L], equally many in each row."""
        ours, theirs = (_real(side.lengths, side.read.shape[1]) for side in (tokens, source))
        if self.choice.sources == "in_context":
            chosen = self._in_context(whole, epoch, tokens, ours)
            return chosen, chosen
        if self.choice.positions == "masked":
            chosen = tokens.labelled & (tokens.labelled.cumsum(1) <= source.lengths[:, None])
            draws = self._uniform(whole, epoch, 1, theirs.shape[1])
            return chosen, _scattered(theirs, chosen.sum(1), draws)
        counts = self.choice.counts(np.minimum(tokens.lengths, source.lengths))
        return self._chosen(whole, epoch, 0, ours, counts), self._chosen(whole, epoch, 1, theirs, counts)

    def _in_context(self, whole: Integers64, epoch: int, tokens: Tokens, real: Bools) -> Bools:
        """Return positions whose tokens are not special [B, L]."""
        if self.choice.positions == "masked":
            return tokens.labelled
        plain = real & ~np.isin(tokens.original, self.special)
        counts = np.minimum(self.choice.counts(tokens.lengths), plain.sum(1))
        return self._chosen(whole, epoch, 0, plain, counts)

    def _chosen(
        self, whole: Integers64, epoch: int, side: int, candidates: Bools, counts: Integers64
    ) -> Bools:
        """Return so many of the candidates of each text [B, L]; sides have draws of their own."""
        if self.choice.positions == "consecutive":
            return _span(candidates, counts, self._uniform(whole, epoch, side, 1))
        return _scattered(candidates, counts, self._uniform(whole, epoch, side, candidates.shape[1]))

    def _uniform(self, whole: Integers64, epoch: int, side: int, count: int) -> NDArray[np.float64]:
        return uniform(draw_seed(self.seed, POSITIONS, epoch, side), whole, count)

    def _replace(self, source: Tokens, chosen: Bools, whole: Integers64, epoch: int) -> None:
        """Replace chosen tokens of a source by draws from the counts of tokens."""
        draws = uniform(draw_seed(self.seed, REPLACEMENT, epoch), whole, chosen.shape[1])
        source.read[chosen] = np.searchsorted(self._shares, draws[chosen], side="right")

    def _drawn(self, whole: Integers64, epoch: int) -> tuple[int, int]:
        """Return the entry of the alignment of a batch, and its alternative."""
        rng = np.random.default_rng(draw_seed(self.seed, ALIGNMENT, epoch, *whole.tolist()))
        entry = int(rng.integers(len(self.alternatives)))
        return entry, int(rng.integers(self.alternatives[entry]))

    def _inputs(self, source: Tokens, places: Integers64, length: int) -> Mapping[str, Any]:
        """Return what models read of the sources of some places."""
        lengths = source.lengths[places]
        inputs = {"input_ids": source.read[places, :length], "attention_mask": _real(lengths, length)}
        if "token_type_ids" in self.split.columns:
            types = _first_tokens(self.split, "token_type_ids", source.examples[places], lengths, 0)
            inputs["token_type_ids"] = types[:, :length]
        return {name: torch.from_numpy(array.astype(np.int64)) for name, array in inputs.items()}


def _real(lengths: Integers64, width: int) -> Bools:
    real: Bools = np.arange(width) < lengths[:, None]
    return real


def _first_tokens(
    split: EncodedSplit, column: str, examples: Integers64, lengths: Integers64, padding: int
) -> Integers64:
    """Return the first tokens of some examples, padded [B, L]."""
    whole = split.lengths[examples]
    real = _real(lengths, padded_width(lengths, split.longest))
    padded = np.full(real.shape, padding, dtype=np.int64)
    padded[real] = split.column(column)[examples][ragged(np.cumsum(whole) - whole, lengths)]
    return padded


def _span(candidates: Bools, counts: Integers64, draws: NDArray[np.float64]) -> Bools:
    """Return so many candidates in a row of each text [B, L]; a draw [B, 1] says where they begin."""
    place = candidates.cumsum(1) - 1
    start = (draws * (candidates.sum(1) - counts + 1)[:, None]).astype(np.int64)
    chosen: Bools = candidates & (place >= start) & (place < start + counts[:, None])
    return chosen


def _scattered(candidates: Bools, counts: Integers64, draws: NDArray[np.float64]) -> Bools:
    """Return so many candidates of each text [B, L], those with the least of the draws [B, L]."""
    order = np.where(candidates, draws, np.inf).argsort(1, kind="stable")
    chosen = np.zeros_like(candidates)
    np.put_along_axis(chosen, order, np.arange(order.shape[1]) < counts[:, None], axis=1)
    return chosen
