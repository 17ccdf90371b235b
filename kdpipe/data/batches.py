"""Batches of an encoded split: padded to a few lengths, with the positions of real and of labelled tokens."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.masking import IGNORE_INDEX, mask_tokens
from kdpipe.models.precision import Precision
from kdpipe.seeds import MASKING, ORDER, draw_seed

# Batches are padded to multiples of this many tokens, so that few shapes occur and kernels are reused, but to
# no more than the longest example has, beyond which the model may have no positions.
PAD_MULTIPLE = 8
SORTED_AT_ONCE = 1 << 20
# What a batch holds: tensors, signals of teachers (`signals`), and how many rows of each sort there are.
Batch = dict[str, Any]


@dataclass(frozen=True)
class Masking:
    """How tokens are masked for language modelling (`kdpipe.data.masking`).

    Args:
        weights: relative probability of each token id [V] to become a target, 0 for special tokens.
        mask_id: id of the mask token.
        probability: share of the tokens that become targets.
        shares: shares of the targets that are masked, kept, and replaced at random.
        seed: seed of the draws.
    """

    weights: NDArray[np.float64]
    mask_id: int
    probability: float
    shares: tuple[float, float, float]
    seed: int

    def __call__(
        self,
        input_ids: NDArray[np.int64],
        lengths: NDArray[np.integer[Any]],
        epoch: int,
        indices: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Mask tokens by the epoch and the batch alone, so that a resumed run masks the same."""
        rng = np.random.default_rng(draw_seed(self.seed, MASKING, epoch, *indices.tolist()))
        mask, keep, random = self.shares
        return mask_tokens(
            input_ids,
            lengths,
            self.weights,
            rng,
            probability=self.probability,
            mask_share=mask,
            keep_share=keep,
            random_share=random,
            mask_id=self.mask_id,
            vocab_size=len(self.weights),
        )


class FixedMasking(Masking):
    """Masks each example by its place in the split alone, the same whatever the epoch and the batch."""

    def __call__(
        self,
        input_ids: NDArray[np.int64],
        lengths: NDArray[np.integer[Any]],
        epoch: int,
        indices: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Mask tokens by the examples' places."""
        masked, labels = input_ids.copy(), np.full_like(input_ids, IGNORE_INDEX)
        for row, length in enumerate(lengths):
            own = slice(row, row + 1), slice(length)
            masked[own], labels[own] = super().__call__(input_ids[own], lengths[own[:1]], 0, indices[own[:1]])
        return masked, labels


class NextToken:
    """Makes of every token but the first of a text a target, to be predicted at the token before it."""

    def __call__(
        self,
        input_ids: NDArray[np.int64],
        lengths: NDArray[np.integer[Any]],
        epoch: int,
        indices: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the tokens as they are, and after each the next one."""
        labels = np.full_like(input_ids, IGNORE_INDEX)
        labels[:, :-1] = input_ids[:, 1:]
        labels[np.arange(input_ids.shape[1]) >= lengths[:, None] - 1] = IGNORE_INDEX
        return input_ids, labels


# From padded token ids [B, L], lengths [B], epoch and the examples' indices: what the model reads, and the
# token that each position is to predict, `IGNORE_INDEX` where there is none.
Targets = Callable[
    [NDArray[np.int64], NDArray[np.integer[Any]], int, NDArray[np.int64]],
    tuple[NDArray[np.int64], NDArray[np.int64]],
]


class Knowledge(Protocol):
    """A teacher's cached signals.

    Attributes:
        precision: what matrices were multiplied in.
    """

    precision: Precision

    def batch(self, indices: NDArray[np.int64], batch: Mapping[str, Any]) -> Any:
        """Return the signals of some examples, of which the student reads a batch."""
        ...


class Collator:
    """Makes a batch of examples, given by their indices.

    The batch holds `input_ids`, `attention_mask` [B, L], `token_type_ids` for pairs, `token_rows` [N], the
    positions of real tokens in the flattened batch, and `labels`: one per example [B]; of windows the places
    of the answers' first and last tokens in turns [2B]; or one per position that has one, where a token is to
    be predicted or a word with a tag begins [M]. The last come with `label_rows` [M] and `label_places` [M],
    their positions in the flattened batch and among its real tokens.

    Args:
        split: the examples.
        pad_id: id of the padding token.
        targets: which tokens are to be predicted, for language modelling.
        knowledge: cached signals by where they are from; they become the `signals` of a batch.

    Attributes:
        epoch: on which draws depend.
        part: where in a batch the examples of this process begin, and their distance.
    """

    def __init__(
        self,
        split: EncodedSplit,
        pad_id: int,
        targets: Targets | None = None,
        knowledge: Mapping[Any, Knowledge] | None = None,
    ) -> None:
        self.split = split
        self.pad_id = pad_id
        self.targets = targets
        self.knowledge = knowledge or {}
        self.epoch = 0
        self.part = (0, 1)

    def __call__(self, examples: Sequence[int]) -> Batch:
        """Return the batch of some examples, or this process's part of it."""
        whole = np.asarray(examples, dtype=np.int64)
        first, step = self.part
        own = np.arange(first, len(whole), step)
        if len(own):
            return self._batch(whole, own)
        # Where there are no examples for a process, another's stand in, and count for nothing.
        batch = self._batch(whole, np.arange(1))
        return {**batch, "counts": dict.fromkeys(batch["counts"], 0)}

    def _batch(self, whole: NDArray[np.int64], own: NDArray[np.int64]) -> Batch:
        """Return the examples of a batch that stand in some places of it."""
        indices = whole[own]
        lengths = self.split.lengths[indices]
        width = padded_width(lengths, self.split.longest)
        real = np.arange(width) < lengths[:, None]
        batch = {"attention_mask": real.astype(np.int64), "token_rows": np.flatnonzero(real)}
        if "token_type_ids" in self.split.columns:
            batch["token_type_ids"] = np.zeros(real.shape, dtype=np.int64)
            batch["token_type_ids"][real] = self.split.column("token_type_ids")[indices]
        # Draws are those of the whole batch, whatever part of it is taken.
        input_ids, predicted = (tokens[own, :width] for tokens in self._tokens(whole))
        if self.targets is not None:
            label_rows = np.flatnonzero(predicted != IGNORE_INDEX)
            batch |= _labelled(label_rows, predicted.reshape(-1)[label_rows], batch["token_rows"])
        elif "words" in self.split.columns:
            batch |= self._tagged(width, batch["token_rows"], indices)
        elif "labels" in self.split.columns:
            labels = self.split.column("labels")[indices]
            batch["labels"] = labels.astype(np.int64).reshape(-1) if self.split.windowed else labels
        found: Batch = {
            name: torch.from_numpy(array) for name, array in {"input_ids": input_ids, **batch}.items()
        }
        if self.knowledge:
            found["signals"] = {source: own.batch(indices, found) for source, own in self.knowledge.items()}
        return {**found, "counts": _counts(lengths, found)}

    def _tokens(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return what the model reads [B, L], padded, and what it is to predict, if it is."""
        lengths = self.split.lengths[indices]
        real = np.arange(padded_width(lengths, self.split.longest)) < lengths[:, None]
        input_ids = np.full(real.shape, self.pad_id, dtype=np.int64)
        input_ids[real] = self.split.column("input_ids")[indices]
        if self.targets is None:
            return input_ids, input_ids
        return self.targets(input_ids, lengths.astype(np.int64), self.epoch, indices)

    def _tagged(
        self, width: int, token_rows: NDArray[np.int64], indices: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        """Return the labels of words, where their first pieces were not cut off."""
        column, tagged = self.split.column("words"), "labels" in self.split.columns
        words = column[indices]
        rows = np.repeat(np.arange(len(indices)), column.lengths_of(indices))
        labels = self.split.column("labels")[indices].astype(np.int64) if tagged else None
        kept = words >= 0
        places = rows[kept] * width + words[kept]
        return _labelled(places, None if labels is None else labels[kept], token_rows)


def on_device(batch: Mapping[str, Any], device: torch.device) -> Batch:
    """Return a batch whose tensors are on a device."""
    return {name: entry.to(device) if isinstance(entry, Tensor) else entry for name, entry in batch.items()}


def _counts(lengths: NDArray[np.integer[Any]], batch: Batch) -> dict[str, int]:
    """Return how many there are in a batch of what losses are averaged over (`kdpipe.anatomy.signals`)."""
    examples, tokens, pairs = len(lengths), int(lengths.sum()), int(np.square(lengths).sum())
    counts = {
        "examples": examples,
        "tokens": tokens,
        "queries": tokens,
        "pairs": pairs,
        "spans": 2 * examples,
    }
    return counts | ({"labelled": len(batch["label_rows"])} if "label_rows" in batch else {})


def _labelled(
    rows: NDArray[np.int64], labels: NDArray[Any] | None, token_rows: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    found = {"label_rows": rows, "label_places": np.searchsorted(token_rows, rows)}
    return found if labels is None else {**found, "labels": labels}


class Indices(Dataset[int]):
    """A dataset whose examples are their own indices; the collator does the reading."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        """Return the number of examples."""
        return self.size

    def __getitem__(self, index: int) -> int:
        """Return the index itself."""
        return index


class LengthGroupedSampler(Sampler[int]):
    """Examples in random order such that every run of `batch_size` has nearly one length.

    Where the last batch of an epoch is short, its examples are drawn first, of any length, so that every
    example is equally likely to count for more there, or to be left out. The others fill bins of
    `PAD_MULTIPLE` lengths in random order; batches come from one bin, what is left over is joined in order of
    length, and the batches are shuffled.

    Args:
        lengths: tokens of each example.
        batch_size: examples of a batch.
        seed: seed of the order.
        collator: told the epoch, for draws that differ between epochs.

    Reference:
        GroupedBatchSampler of the DistilBERT research code in transformers; its bins are 4 wide, and its
        batches are not shuffled, so that epochs end sorted by length.
    """

    def __init__(
        self, lengths: NDArray[np.integer[Any]], batch_size: int, seed: int, collator: Collator
    ) -> None:
        self.bins = -(-lengths // PAD_MULTIPLE)
        self.batch_size = batch_size
        self.seed = seed
        self.collator = collator

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is drawn next."""
        self.collator.epoch = epoch

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.bins)

    def __iter__(self) -> Iterator[int]:
        """Yield the examples of an epoch."""
        rng = np.random.default_rng(draw_seed(self.seed, ORDER, self.collator.epoch))
        for batch in self.batches(rng):
            yield from batch.tolist()

    def batches(self, rng: np.random.Generator) -> Iterator[NDArray[np.integer[Any]]]:
        """Yield the batches of an epoch."""
        size = len(self.bins)
        # Half the memory of 64 bits; the draws are the same.
        order: NDArray[np.integer[Any]] = np.arange(
            size, dtype=np.int32 if size <= np.iinfo(np.int32).max else np.int64
        )
        rng.shuffle(order)
        cut = size % self.batch_size
        short, order = order[:cut], order[cut:]
        full = _batches(grouped(order, self.bins), self.batch_size)
        yield from (full[number] for number in rng.permutation(len(full)))
        if len(short):
            yield short


def _batches(bins: Sequence[NDArray[np.integer[Any]]], size: int) -> NDArray[np.integer[Any]]:
    """Return the examples of all bins as batches [N, size]. Examples left over from bins share batches."""
    cuts = [len(members) - len(members) % size for members in bins]
    whole = [members[:cut] for members, cut in zip(bins, cuts, strict=True)]
    left = [members[cut:] for members, cut in zip(bins, cuts, strict=True)]
    return np.concatenate([*whole, *left]).reshape(-1, size)


def grouped(
    members: NDArray[np.integer[Any]], keys: NDArray[np.integer[Any]]
) -> list[NDArray[np.integer[Any]]]:
    """Return the members that have each key, in their order.

    They are counted and placed block by block: to sort all at once takes four times the memory.

    Args:
        members: positions in `keys`.
        keys: small whole numbers.
    """
    blocks = np.split(members, range(SORTED_AT_ONCE, len(members), SORTED_AT_ONCE))
    totals = np.zeros(int(keys.max(initial=0)) + 1, dtype=np.int64)
    for block in blocks:
        totals += np.bincount(keys[block], minlength=len(totals))
    ordered, starts = np.empty_like(members), np.cumsum(totals) - totals
    for block in blocks:
        found = keys[block]
        inside = np.argsort(found, kind="stable")
        counts = np.bincount(found, minlength=len(totals))
        first = starts - (np.cumsum(counts) - counts)
        ordered[np.arange(len(block)) + first[found[inside]]] = block[inside]
        starts += counts
    return np.split(ordered, np.cumsum(totals)[:-1])


def padded_width(lengths: NDArray[np.integer[Any]], longest: int) -> int:
    """Return the tokens that the examples of a batch are padded to, those of the longest of all at most."""
    return min(-(-int(lengths.max()) // PAD_MULTIPLE) * PAD_MULTIPLE, longest)


def batches_by_length(lengths: NDArray[np.integer[Any]], batch_size: int) -> list[NDArray[np.int64]]:
    """Return batches of examples in order of length, for evaluation."""
    order = np.argsort(lengths, kind="stable")
    return np.split(order, range(batch_size, len(order), batch_size))
