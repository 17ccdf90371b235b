"""Batches of several datasets: each batch is of one dataset, and the datasets take turns at random."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from kdpipe.data.batches import Batch, Collator
from kdpipe.data.sampling import LengthGroupedSampler, sampled_lengths
from kdpipe.data.targets import Integers
from kdpipe.seeds import ORDER, draw_seed


class Collators:
    """Makes a batch of some examples of one of several datasets.

    An example goes by its place among the examples of all datasets, which follow each other.

    Args:
        collators: the collators of the datasets, by name; a batch says in `dataset` whose it is.
    """

    def __init__(self, collators: Mapping[str, Collator]) -> None:
        self.collators = collators
        self.names = list(collators)
        self.ends = np.cumsum([len(collator.examples) for collator in collators.values()])

    def __call__(self, places: Sequence[int]) -> Batch:
        """Return the batch of some examples of one dataset."""
        number = int(np.searchsorted(self.ends, places[0], side="right"))
        name = self.names[number]
        collator, first = self.collators[name], self.ends[number - 1] if number else 0
        examples = [collator.examples[place - first] for place in places]
        return {**collator(examples), "dataset": name}

    @property
    def examples(self) -> Sequence[int]:
        """The places of all examples that are trained on."""
        return range(int(self.ends[-1]))

    @property
    def epoch(self) -> int:
        """The epoch, on which draws depend."""
        return next(iter(self.collators.values())).epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        for collator in self.collators.values():
            collator.epoch = epoch

    @property
    def part(self) -> tuple[int, int]:
        """The place in a batch where the examples of this process begin, and their distance."""
        return next(iter(self.collators.values())).part

    @part.setter
    def part(self, part: tuple[int, int]) -> None:
        for collator in self.collators.values():
            collator.part = part


class MixedSampler(Sampler[int]):
    """Batches of several datasets in random order; an epoch has as many as all rows fill.

    A dataset gives a share of the batches in proportion to a power of its size, and at least one. It goes on
    in the next epoch where it stopped: through all its examples, batches of like lengths, in a new order at
    each pass. A pass leaves out the examples that fill no batch, other ones each time.

    Args:
        collators: the datasets.
        batch_size: examples of a batch.
        seed: seed of the order.
        exponent: the power of the sizes: 1 for proportional shares, 0 for equal shares.
        strategy: whether examples of like lengths share batches, as of `sampled_lengths`.

    Reference:
        github.com/airaria/TextBrewer, `distiller_multitask.py`, where the dataset of each step is drawn with
        the probabilities that are exact shares here.
    """

    def __init__(
        self, collators: Collators, batch_size: int, seed: int, exponent: float, strategy: str = ""
    ) -> None:
        self.collator, self.strategy = collators, strategy
        self.batch_size = batch_size
        self.seed = seed
        sizes = np.diff(collators.ends, prepend=0)
        self.batches = shares(sizes, -(-int(sizes.sum()) // batch_size), exponent)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is drawn next."""
        self.collator.epoch = epoch

    def __len__(self) -> int:
        """Return the number of examples of an epoch."""
        return int(self.batches.sum()) * self.batch_size

    def __iter__(self) -> Iterator[int]:
        """Yield the examples of an epoch."""
        epoch = self.collator.epoch
        rng = np.random.default_rng(draw_seed(self.seed, ORDER, epoch))
        turns = rng.permutation(np.repeat(np.arange(len(self.batches)), self.batches))
        streams = [self._stream(number, epoch * int(count)) for number, count in enumerate(self.batches)]
        for number in turns.tolist():
            yield from next(streams[number]).tolist()

    def _stream(self, number: int, start: int) -> Iterator[Integers]:
        """Yield the batches of a dataset without end, from a batch on."""
        rows, first = self._rows[number]
        turn, skipped = divmod(start, max(len(rows) // self.batch_size, 1))
        while True:
            order = LengthGroupedSampler(rows, self.batch_size, self.seed, self._collator(number))
            rng = np.random.default_rng(draw_seed(self.seed, ORDER, number, turn))
            full = (batch for batch in order.batches(rng) if len(batch) == self.batch_size)
            few = [np.resize(np.arange(len(rows)), self.batch_size)] if len(rows) < self.batch_size else full
            yield from (first + batch for batch in islice(few, skipped, None))
            turn, skipped = turn + 1, 0

    def _collator(self, number: int) -> Collator:
        return self.collator.collators[self.collator.names[number]]

    @cached_property
    def _rows(self) -> list[tuple[Integers, int]]:
        """The lengths of the examples of each dataset, and the place of its first example."""
        firsts = [0, *self.collator.ends[:-1].tolist()]
        lengths = (self._collator(number).lengths for number in range(len(firsts)))
        return [
            (sampled_lengths(own, self.strategy), first) for own, first in zip(lengths, firsts, strict=True)
        ]


def shares(sizes: NDArray[np.int64], batches: int, exponent: float) -> NDArray[np.int64]:
    """Return how many of some batches are of each dataset, at least one.

    Args:
        sizes: examples of each dataset.
        batches: the number of batches.
        exponent: the power of a size that its share is proportional to.
    """
    weights = (sizes / sizes.max()) ** exponent
    wanted = batches * weights / weights.sum()
    counts = np.maximum(np.floor(wanted).astype(np.int64), 1)
    # The datasets with the largest remainders get the batches that are left.
    left = max(batches - int(counts.sum()), 0)
    counts[np.argsort(counts - wanted, kind="stable")[:left]] += 1
    for _ in range(int(counts.sum()) - max(batches, len(counts))):
        counts[counts.argmax()] -= 1
    taken: NDArray[np.int64] = counts
    return taken
