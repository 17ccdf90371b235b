"""Batches of an encoded split: padded to a few lengths, with the positions of real and of labelled tokens."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from kdpipe.data.encoded import EncodedSplit, ragged
from kdpipe.data.masking import IGNORE_INDEX, mask_tokens
from kdpipe.models.precision import Precision
from kdpipe.seeds import MASKING, ORDER, draw_seed

# Batches are padded to multiples of this many tokens, so that few shapes occur and kernels are reused, but to
# no more than the longest example has, beyond which the model may have no positions.
PAD_MULTIPLE = 8
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
        self, input_ids: NDArray[np.int64], lengths: NDArray[np.int64], epoch: int, indices: NDArray[np.int64]
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
        self, input_ids: NDArray[np.int64], lengths: NDArray[np.int64], epoch: int, indices: NDArray[np.int64]
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
        self, input_ids: NDArray[np.int64], lengths: NDArray[np.int64], epoch: int, indices: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the tokens as they are, and after each the next one."""
        labels = np.full_like(input_ids, IGNORE_INDEX)
        labels[:, :-1] = input_ids[:, 1:]
        labels[np.arange(input_ids.shape[1]) >= lengths[:, None] - 1] = IGNORE_INDEX
        return input_ids, labels


# From padded token ids [B, L], lengths [B], epoch and the examples' indices: what the model reads, and the
# token that each position is to predict, `IGNORE_INDEX` where there is none.
Targets = Callable[
    [NDArray[np.int64], NDArray[np.int64], int, NDArray[np.int64]],
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
        if self.split.token_type_ids is not None:
            flat = ragged(self.split.offsets[indices], lengths)
            batch["token_type_ids"] = np.zeros(real.shape, dtype=np.int64)
            batch["token_type_ids"][real] = self.split.token_type_ids[flat]
        # Draws are those of the whole batch, whatever part of it is taken.
        input_ids, predicted = (tokens[own, :width] for tokens in self._tokens(whole))
        if self.targets is not None:
            label_rows = np.flatnonzero(predicted != IGNORE_INDEX)
            batch |= _labelled(label_rows, predicted.reshape(-1)[label_rows], batch["token_rows"])
        elif self.split.words is not None:
            batch |= self._tagged(width, batch["token_rows"], indices)
        elif self.split.labels is not None:
            labels = self.split.labels[indices]
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
        input_ids[real] = self.split.input_ids[ragged(self.split.offsets[indices], lengths)]
        if self.targets is None:
            return input_ids, input_ids
        return self.targets(input_ids, lengths, self.epoch, indices)

    def _tagged(
        self, width: int, token_rows: NDArray[np.int64], indices: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        split = self.split
        assert split.words is not None
        rows, places = split.words_of(indices)
        labels = None if split.labels is None else split.labels[places].astype(np.int64)
        return _labelled(rows * width + split.words[places], labels, token_rows)


def on_device(batch: Mapping[str, Any], device: torch.device) -> Batch:
    """Return a batch whose tensors are on a device."""
    return {name: entry.to(device) if isinstance(entry, Tensor) else entry for name, entry in batch.items()}


def _counts(lengths: NDArray[np.int64], batch: Batch) -> dict[str, int]:
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

    def __init__(self, lengths: NDArray[np.int64], batch_size: int, seed: int, collator: Collator) -> None:
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

    def batches(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Return the batches of an epoch."""
        short, order = np.split(rng.permutation(len(self.bins)), [len(self.bins) % self.batch_size])
        order = order[np.argsort(self.bins[order], kind="stable")]
        bounds = np.flatnonzero(np.diff(self.bins[order])) + 1
        full: list[NDArray[np.int64]] = []
        rest: list[NDArray[np.int64]] = []
        for members in np.split(order, bounds):
            cut = len(members) - len(members) % self.batch_size
            full += np.split(members[:cut], range(self.batch_size, cut, self.batch_size)) if cut else []
            rest.append(members[cut:])
        left = np.concatenate(rest)
        full += np.split(left, range(self.batch_size, len(left), self.batch_size)) if len(left) else []
        return [full[i] for i in rng.permutation(len(full))] + ([short] if len(short) else [])


def padded_width(lengths: NDArray[np.int64], longest: int) -> int:
    """Return the tokens that the examples of a batch are padded to, those of the longest of all at most."""
    return min(-(-int(lengths.max()) // PAD_MULTIPLE) * PAD_MULTIPLE, longest)


def batches_by_length(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Return batches of examples in order of length, for evaluation."""
    order = np.argsort(lengths, kind="stable")
    return np.split(order, range(batch_size, len(order), batch_size))
