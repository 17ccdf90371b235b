"""The order of examples: batches of nearly one length, shuffled for training, sorted for evaluation."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from kdpipe.data.batches import PAD_MULTIPLE, Collator
from kdpipe.data.targets import Integers
from kdpipe.seeds import ORDER, draw_seed

SORTED_AT_ONCE = 1 << 20


# How examples share batches.
STRATEGIES = ("group_by_length", "random")


def sampled_lengths(lengths: Integers, strategy: str) -> Integers:
    """Return the lengths by which examples share batches: `random` batches have examples of any lengths."""
    return np.zeros_like(lengths) if strategy == "random" else lengths


class LengthGroupedSampler(Sampler[int]):
    """Examples in random order such that every run of `batch_size` examples has nearly one length.

    If the last batch of an epoch is short, its examples are drawn first, of any length, so that every example
    is equally likely to count for more there, or to be left out. The other examples fill bins of
    `PAD_MULTIPLE` lengths in random order. A batch comes from one bin, the examples left over share batches
    in order of length, and the batches are shuffled.

    Args:
        lengths: tokens of each example.
        batch_size: examples of a batch.
        seed: seed of the order.
        collator: learns the epoch, for draws that differ between epochs.

    Reference:
        GroupedBatchSampler of the DistilBERT research code in transformers; its bins are 4 wide, and its
        batches are not shuffled, so that epochs end sorted by length.
    """

    def __init__(self, lengths: Integers, batch_size: int, seed: int, collator: Collator) -> None:
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

    def batches(self, rng: np.random.Generator) -> Iterator[Integers]:
        """Yield the batches of an epoch."""
        size = len(self.bins)
        # Half the memory of 64 bits; the draws are the same.
        order: Integers = np.arange(size, dtype=np.int32 if size <= np.iinfo(np.int32).max else np.int64)
        rng.shuffle(order)
        cut = size % self.batch_size
        short, order = order[:cut], order[cut:]
        full = _batches(grouped(order, self.bins), self.batch_size)
        yield from (full[number] for number in rng.permutation(len(full)))
        if len(short):
            yield short


def _batches(bins: Sequence[Integers], size: int) -> Integers:
    """Return the examples of all bins as batches [N, size]. Examples left over from bins share batches."""
    cuts = [(members, len(members) - len(members) % size) for members in bins]
    whole, left = [members[:cut] for members, cut in cuts], [members[cut:] for members, cut in cuts]
    return np.concatenate([*whole, *left]).reshape(-1, size)


def grouped(members: Integers, keys: Integers) -> list[Integers]:
    """Return the members that have each key, in their order.

    The members are counted and placed block by block: to sort all at once takes four times the memory.

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
        block_keys = keys[block]
        inside = np.argsort(block_keys, kind="stable")
        counts = np.bincount(block_keys, minlength=len(totals))
        first = starts - (np.cumsum(counts) - counts)
        ordered[np.arange(len(block)) + first[block_keys[inside]]] = block[inside]
        starts += counts
    return np.split(ordered, np.cumsum(totals)[:-1])


def batches_by_length(lengths: Integers, batch_size: int) -> list[NDArray[np.int64]]:
    """Return batches of examples in order of length, for evaluation."""
    order = np.argsort(lengths, kind="stable")
    return np.split(order, range(batch_size, len(order), batch_size))
