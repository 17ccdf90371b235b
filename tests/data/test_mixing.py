"""Batches of several datasets: whose they are, how many each has, and which examples come."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.mixing import Collators, MixedSampler, shares


class Rows(Collator):
    """A collator of examples that have a length and nothing else."""

    def __init__(self, lengths: list[int]) -> None:
        self.epoch, self.part = 0, (0, 1)
        self._lengths = np.array(lengths)

    @property
    def examples(self) -> range:
        return range(len(self._lengths))

    @property
    def lengths(self) -> np.ndarray:
        return self._lengths


def mixed(sizes: list[int], batch_size: int, exponent: float = 1.0, seed: int = 1) -> MixedSampler:
    rng = np.random.default_rng(0)
    rows = {f"d{number}": Rows(rng.integers(5, 40, size)) for number, size in enumerate(sizes)}
    return MixedSampler(Collators(rows), batch_size, seed, exponent)


def batches_of(sampler: MixedSampler, epoch: int = 0) -> list[list[int]]:
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert len(order) == len(sampler)
    return [order[at : at + sampler.batch_size] for at in range(0, len(order), sampler.batch_size)]


def owners(sampler: MixedSampler, batches: list[list[int]]) -> list[set[int]]:
    return [set(np.searchsorted(sampler.collator.ends, batch, side="right").tolist()) for batch in batches]


@pytest.mark.parametrize("exponent", [0.0, 0.5, 0.75, 1.0])
def test_shares_follow_a_power_of_the_sizes(exponent: float) -> None:
    """As frequent as TextBrewer's draws are on average, within a batch."""
    sizes = np.array([3668, 67_349, 5749])
    counts = shares(sizes, 5000, exponent)
    expected = 5000 * sizes**exponent / (sizes**exponent).sum()
    assert counts.sum() == 5000
    assert np.abs(counts - expected).max() < 1


@pytest.mark.parametrize(("sizes", "batches", "found"), [
    ([10_000, 1], 5, [4, 1]),
    ([10, 10, 10], 2, [1, 1, 1]),
    ([10, 10], 5, [3, 2]),
])  # fmt: skip
def test_every_dataset_has_a_batch(sizes: list[int], batches: int, found: list[int]) -> None:
    assert shares(np.array(sizes), batches, 1.0).tolist() == found


def test_a_batch_is_of_one_dataset_and_an_epoch_has_as_many_as_the_rows_fill() -> None:
    sampler = mixed([100, 60, 30], 16)
    batches = batches_of(sampler)
    assert len(batches) == -(-190 // 16)
    found = owners(sampler, batches)
    assert all(len(names) == 1 for names in found)
    # The datasets take turns.
    assert sum(one != other for one, other in pairwise(found)) >= 4


def test_a_dataset_goes_on_where_the_last_epoch_stopped() -> None:
    """Each pass has every example once, but for a few that fill no batch; each pass leaves out others."""
    sampler = mixed([100, 60], 16)
    order = [
        place for epoch in range(40) for batch in batches_of(sampler, epoch) for place in batch if place < 100
    ]
    passes = [order[at : at + 96] for at in range(0, len(order) - 95, 96)]
    assert len(passes) > 20
    assert all(len(set(one)) == 96 for one in passes)
    left_out = [set(range(100)) - set(one) for one in passes]
    assert len(set.union(*left_out)) > 40
    assert passes[0] != passes[1]


def test_a_dataset_smaller_than_a_batch_repeats_its_examples() -> None:
    sampler = mixed([100, 3], 16)
    [few] = [batch for batch in batches_of(sampler) if batch[0] >= 100]
    assert sorted(set(few)) == [100, 101, 102]
    assert len(few) == 16


def test_the_order_is_of_the_seed_and_the_epoch() -> None:
    first, same, other = mixed([50, 40], 8), mixed([50, 40], 8), mixed([50, 40], 8, seed=2)
    assert batches_of(first, 3) == batches_of(same, 3)
    assert batches_of(first, 3) != batches_of(other, 3)
    assert batches_of(first, 3) != batches_of(first, 4)


def test_a_batch_says_whose_it_is(task_data: Path, number_data: Path) -> None:
    data = {"a": task_data, "b": number_data}
    alone = {name: Collator(EncodedSplit(folder, "train"), pad_id=0) for name, folder in data.items()}
    together, rows = Collators(alone), len(alone["a"].examples)
    for places, name, examples in (([0, rows - 1], "a", [0, rows - 1]), ([rows, rows + 2], "b", [0, 2])):
        batch, expected = together(places), alone[name](examples)
        assert batch.pop("dataset") == name
        assert batch["input_ids"].equal(expected["input_ids"])
        assert batch["labels"].equal(expected["labels"])
