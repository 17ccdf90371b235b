"""Batches: which tokens are padding, and which are targets."""

from pathlib import Path

import numpy as np
import torch

from kdpipe.data.batches import PAD_MULTIPLE, Collator
from kdpipe.data.encoded import EncodedSplit, ragged
from kdpipe.data.targets import Masking, NextToken
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


def test_ragged_positions_join_runs() -> None:
    assert ragged(np.array([7, 0, 3]), np.array([2, 1, 3])).tolist() == [7, 8, 0, 3, 4, 5]
