"""The order in which examples come."""

import numpy as np
import pytest

from kdpipe.data.batches import PAD_MULTIPLE, Collator
from kdpipe.data.sampling import LengthGroupedSampler, batches_by_length, grouped, sampled_lengths


class Epochs(Collator):
    """A collator of nothing, for the epoch that it keeps."""

    def __init__(self) -> None:
        self.epoch = 0


@pytest.mark.parametrize(("count", "batch_size"), [(1000, 32), (96, 32), (7, 32), (33, 8)])
def test_every_example_comes_once_in_batches_of_like_length(count: int, batch_size: int) -> None:
    lengths = np.random.default_rng(0).integers(5, 60, count)
    sampler = LengthGroupedSampler(lengths, batch_size, 3, collator=Epochs())
    order = list(sampler)
    assert sorted(order) == list(range(count))
    batches = list(sampler.batches(np.random.default_rng(1)))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert len(batches) == -(-count // batch_size)
    bins = -(-lengths // PAD_MULTIPLE)
    single = sum(len(set(bins[batch])) == 1 for batch in batches)
    # Only leftovers of the bins are mixed, less than a batch of each.
    assert single >= len(batches) - len(set(bins)) - 1


def test_random_batches_have_any_lengths() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 1000)
    sampler = LengthGroupedSampler(sampled_lengths(lengths, "random"), 32, 3, collator=Epochs())
    order = np.array(list(sampler))
    assert sorted(order.tolist()) == list(range(1000))
    spreads = [np.ptp(lengths[batch]) for batch in np.split(order, range(32, 1000, 32))]
    assert min(spreads) > 30
    assert sampled_lengths(lengths, "group_by_length") is lengths


def test_every_example_is_as_often_in_the_short_batch() -> None:
    """Its examples count for more than others, and a loader that drops it does not see them."""
    lengths = np.concatenate([np.full(60, 8), np.full(9, 70)])
    sampler = LengthGroupedSampler(lengths, 16, 3, collator=Epochs())
    epochs = 2000
    found = np.zeros(len(lengths))
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        found[list(sampler)[64:]] += 1
    share = 5 / 69
    deviations = (found - epochs * share) / np.sqrt(epochs * share * (1 - share))
    # Of 69 draws from a normal distribution one in 20,000 is beyond 5; the sum is always 5 an epoch.
    assert np.abs(deviations).max() < 5
    assert found.sum() == 5 * epochs


def test_grouping_by_length_leaves_little_padding() -> None:
    lengths = np.random.default_rng(5).gamma(4.0, 12.0, 5000).astype(int) + 3
    sampler = LengthGroupedSampler(lengths, 32, 1, collator=Epochs())
    read = sum(len(batch) * lengths[batch].max() for batch in sampler.batches(np.random.default_rng(0)))
    shuffled = np.array_split(np.random.default_rng(0).permutation(lengths), 5000 // 32)
    assert read < 1.1 * lengths.sum()
    assert sum(len(batch) * batch.max() for batch in shuffled) > 1.7 * lengths.sum()


@pytest.mark.parametrize("block", [7, 1000])
def test_members_are_grouped_block_by_block_as_a_stable_sort_does(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdpipe.data.sampling.SORTED_AT_ONCE", block)
    rng = np.random.default_rng(0)
    keys, members = rng.integers(0, 9, 500), rng.permutation(500)[:300]
    assert (
        np.concatenate(grouped(members, keys)).tolist()
        == members[np.argsort(keys[members], kind="stable")].tolist()
    )


def test_order_differs_between_epochs_and_seeds() -> None:
    lengths = np.full(64, 10)
    epochs = Epochs()
    sampler, other = (LengthGroupedSampler(lengths, 8, seed, epochs) for seed in (1, 2))
    first = list(sampler)
    assert first == list(sampler)
    assert first != list(other)
    sampler.set_epoch(1)
    assert first != list(sampler)


def test_evaluation_batches_go_by_length() -> None:
    lengths = np.array([5, 3, 9, 1])
    assert [batch.tolist() for batch in batches_by_length(lengths, 3)] == [[3, 1, 0], [2]]
