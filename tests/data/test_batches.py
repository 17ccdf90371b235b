"""Batches: what is padding, what is a target, and in which order examples come."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kdpipe.data.batches import (
    PAD_MULTIPLE,
    Collator,
    LengthGroupedSampler,
    Masking,
    NextToken,
    batches_by_length,
    grouped,
)
from kdpipe.data.encoded import EncodedSplit, ragged
from tests.encoded import read_split

SPECIAL = [0, 1, 2, 3, 4]


def masking(seed: int = 1) -> Masking:
    weights = np.ones(80)
    weights[SPECIAL] = 0
    return Masking(weights, 4, 0.15, (0.8, 0.1, 0.1), seed)


def test_a_batch_holds_its_examples(task_data: Path) -> None:
    split = EncodedSplit(task_data, "train")
    batch, table = Collator(split, pad_id=0)([5, 2, 70]), read_split(task_data, "train")
    assert batch["input_ids"].shape[1] % PAD_MULTIPLE == 0
    for row, example in enumerate((5, 2, 70)):
        ids = table["input_ids"][example].as_py()
        assert batch["input_ids"][row, : len(ids)].tolist() == ids
        assert batch["attention_mask"][row].sum() == len(ids)
        assert not batch["input_ids"][row, len(ids) :].any()
    assert batch["labels"].tolist() == [table["labels"][i].as_py() for i in (5, 2, 70)]
    flat = batch["attention_mask"].flatten()
    assert batch["token_rows"].tolist() == flat.nonzero().flatten().tolist()


def test_labels_of_windows_are_starts_and_ends_in_turns(question_data: Path) -> None:
    split = EncodedSplit(question_data, "train")
    batch = Collator(split, pad_id=0)([3, 0])
    rows = read_split(question_data, "train")["labels"].to_pylist()
    assert batch["labels"].tolist() == [*rows[3], *rows[0]]
    assert batch["labels"].dtype == torch.int64


def test_targets_are_the_original_tokens_at_masked_positions(text_data: Path) -> None:
    split = EncodedSplit(text_data, "train")
    plain, masked = Collator(split, 0)(range(8)), Collator(split, 0, masking())(range(8))
    original = plain["input_ids"].flatten()[masked["label_rows"]]
    assert masked["labels"].equal(original)
    assert len(masked["labels"]) == int(np.ceil(0.15 * int(plain["attention_mask"].sum())))
    assert not set(masked["labels"].tolist()) & set(SPECIAL)
    assert masked["token_rows"][masked["label_places"]].equal(masked["label_rows"])


def test_parts_of_a_batch_are_masked_as_the_whole(text_data: Path) -> None:
    collator = Collator(EncodedSplit(text_data, "train"), 0, masking())
    whole = collator(range(7))
    targets = whole["label_rows"] // whole["input_ids"].shape[1]
    for first in range(2):
        collator.part = (first, 2)
        part = collator(range(7))
        rows, width = part["input_ids"].shape
        assert part["input_ids"].equal(whole["input_ids"][first::2, :width])
        assert part["attention_mask"].sum() == whole["attention_mask"][first::2].sum()
        own = torch.isin(targets, torch.arange(first, 7, 2))
        assert part["labels"].equal(whole["labels"][own])
        assert rows == len(range(first, 7, 2))
        lengths = part["attention_mask"].sum(1)
        assert part["counts"] == {
            "examples": rows,
            "tokens": int(lengths.sum()),
            "queries": int(lengths.sum()),
            "pairs": int(lengths.square().sum()),
            "spans": 2 * rows,
            "labelled": len(part["labels"]),
        }


def test_without_examples_of_its_own_a_part_counts_for_nothing(text_data: Path) -> None:
    collator = Collator(EncodedSplit(text_data, "train"), 0, masking())
    collator.part = (1, 2)
    part = collator([3])
    assert len(part["input_ids"]) == 1

    assert set(part["counts"].values()) == {0}


def test_every_token_but_the_first_is_a_target_of_the_one_before(text_data: Path) -> None:
    split = EncodedSplit(text_data, "train")
    batch, table = Collator(split, pad_id=0, targets=NextToken())([4, 0, 9]), read_split(text_data, "train")
    rows = [table["input_ids"][index].as_py() for index in (4, 0, 9)]
    assert batch["labels"].tolist() == [token for row in rows for token in row[1:]]
    read = batch["input_ids"].flatten()[batch["label_rows"]]
    assert read.tolist() == [token for row in rows for token in row[:-1]]


def test_masks_follow_seed_epoch_and_batch(text_data: Path) -> None:
    collator = Collator(EncodedSplit(text_data, "train"), 0, masking())
    first = collator(range(8))["label_rows"]
    assert first.equal(collator(range(8))["label_rows"])
    collator.epoch = 1
    assert not first.equal(collator(range(8))["label_rows"])


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
    # One in 20,000 of 69 draws from a normal distribution is beyond 5; the sum is always 5 an epoch.
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
    monkeypatch.setattr("kdpipe.data.batches.SORTED_AT_ONCE", block)
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


def test_ragged_positions_join_runs() -> None:
    assert ragged(np.array([7, 0, 3]), np.array([2, 1, 3])).tolist() == [7, 8, 0, 3, 4, 5]


class Epochs(Collator):
    """A collator of nothing, for the epoch that it keeps."""

    def __init__(self) -> None:
        self.epoch = 0
