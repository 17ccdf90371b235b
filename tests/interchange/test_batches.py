"""What is exchanged in a batch: sources, positions, tokens in context, and the draw of a site."""

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kdpipe.data.batches import EXCHANGE, Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import IGNORE_INDEX, FixedMasking, Masking, NextToken, Targets
from kdpipe.errors import KdpipeError
from kdpipe.interchange.batches import Choice, Exchanges

SPECIAL, MASK = (0, 1, 2, 3, 4), 4
EXAMPLES = list(range(3, 19))


def masking(vocabulary: int = 80, kind: type[Masking] = Masking) -> Masking:
    weights = np.ones(vocabulary)
    weights[list(SPECIAL)] = 0
    return kind(weights, MASK, 0.15, (0.8, 0.1, 0.1), seed=1)


def collator(data: Path, choice: Choice, targets: Targets | None = None, **options: Any) -> Collator:
    split = EncodedSplit(data, "train")
    given = {"alternatives": [1], "seed": 1, "special": SPECIAL, **options}
    return Collator(split, 0, targets, exchanges=Exchanges(split, 0, choice, targets=targets, **given))


def places(batch: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    """Return the positions of each row of a batch that are written, and those of its source that are read."""
    exchange = batch[EXCHANGE]
    widths = batch["input_ids"].shape[1], exchange["source"]["input_ids"].shape[1]
    rows = []
    for row in range(len(batch["input_ids"])):
        pair = []
        for entry, width in zip(("write", "read"), widths, strict=True):
            pair.append([place % width for place in exchange[entry].tolist() if place // width == row])
        rows.append((pair[0], pair[1]))
    return rows


def lengths(batch: dict[str, Any]) -> list[int]:
    return [int(length) for length in batch["attention_mask"].sum(1)]


@pytest.mark.parametrize("positions", ["consecutive", "scattered"])
@pytest.mark.parametrize("share", [0, 0.3, 1])
@pytest.mark.parametrize("most", [None, 3])
def test_a_share_of_the_shorter_text_is_exchanged(
    positions: Any, share: float, most: int | None, text_data: Path
) -> None:
    batch = collator(text_data, Choice(positions=positions, proportion=share, max_tokens=most))(EXAMPLES)
    exchange = batch[EXCHANGE]
    for (write, read), own, other in zip(
        places(batch), lengths(batch), lengths(exchange["source"]), strict=True
    ):
        count = min(int(min(own, other) * share), most or 999)
        assert len(write) == len(read) == len(set(write)) == len(set(read)) == count
        assert all(place < own for place in write)
        assert all(place < other for place in read)
        if positions == "consecutive" and count:
            assert write == list(range(write[0], write[0] + count))
            assert read == list(range(read[0], read[0] + count))


def test_scattered_positions_are_anywhere(text_data: Path) -> None:
    batches = collator(text_data, Choice(positions="scattered"))
    seen: Counter[int] = Counter()
    for epoch in range(60):
        batches.epoch = epoch
        [(write, _)] = places(batches([3]))
        seen.update(write)
    length = int(batches.split.lengths[3])
    assert sorted(seen) == list(range(length))
    assert max(seen.values()) < 3 * min(seen.values()) + 10


def test_a_fixed_permutation_gives_the_sources(text_data: Path) -> None:
    batches = collator(text_data, Choice())
    whole = np.arange(len(batches.split))
    assert isinstance(batches.exchanges, Exchanges)
    first = batches.exchanges.sources(whole, 0)
    assert sorted(first.tolist()) == whole.tolist()
    assert (first != whole).mean() > 0.9
    assert np.array_equal(first, batches.exchanges.sources(whole, 5))
    other = collator(text_data, Choice(), seed=2).exchanges
    assert isinstance(other, Exchanges)
    assert not np.array_equal(first, other.sources(whole, 0))


def test_an_epoch_may_have_its_own_permutation(text_data: Path) -> None:
    exchanges = collator(text_data, Choice(sources="epoch")).exchanges
    assert isinstance(exchanges, Exchanges)
    whole = np.arange(len(exchanges.split))
    orders = [exchanges.sources(whole, epoch) for epoch in (0, 1, 0)]
    assert np.array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], orders[1])
    assert sorted(orders[1].tolist()) == whole.tolist()


def test_a_pairing_takes_at_most_8_bytes_an_example() -> None:
    size = 10**6
    exchanges = Exchanges(Many(size), 0, Choice(sources="epoch"), [1], 1)
    tracemalloc.start()
    for epoch in range(3):
        exchanges.sources(np.arange(4), epoch)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept <= 4.1 * size
    assert peak <= 8.1 * size


class Many(EncodedSplit):
    """A split of so many examples, of which nothing is read."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def test_sources_are_cut_where_the_batch_ends(text_data: Path) -> None:
    batches = collator(text_data, Choice())
    split = batches.split
    shortest = int(np.argmin(split.lengths))
    batch = batches([shortest])
    width = batch["input_ids"].shape[1]
    assert isinstance(batches.exchanges, Exchanges)
    [source] = batches.exchanges.sources(np.array([shortest]), 0)
    [length] = lengths(batch[EXCHANGE]["source"])
    assert length == min(int(split.lengths[source]), width)
    ids = split.column("input_ids")[np.array([source])]
    assert batch[EXCHANGE]["source"]["input_ids"][0, :length].tolist() == ids[:length].tolist()


def test_sources_are_masked_too(text_data: Path) -> None:
    batches = collator(text_data, Choice(), masking())
    source = batches(EXAMPLES)[EXCHANGE]["source"]
    share = float((source["input_ids"] == MASK).sum() / source["attention_mask"].sum())
    assert 0.08 < share < 0.16


def test_masked_positions_are_those_that_are_to_be_predicted(text_data: Path) -> None:
    batch = collator(text_data, Choice(positions="masked"), masking())(EXAMPLES)
    width = batch["input_ids"].shape[1]
    predicted: dict[int, list[int]] = {}
    for place in batch["label_rows"].tolist():
        predicted.setdefault(place // width, []).append(place % width)
    for row, ((write, read), other) in enumerate(
        zip(places(batch), lengths(batch[EXCHANGE]["source"]), strict=True)
    ):
        assert write == predicted.get(row, [])[:other]
        assert len(read) == len(write)
        assert all(place < other for place in read)


def counts(vocabulary: int = 80) -> NDArray[np.int64]:
    occurrences = np.zeros(vocabulary, dtype=np.int64)
    occurrences[[2, 10, 11]] = [1000, 30, 10]
    return occurrences


@pytest.mark.parametrize("positions", ["consecutive", "scattered", "masked"])
def test_in_context_only_plain_tokens_at_the_positions_change(positions: Any, text_data: Path) -> None:
    choice = Choice(positions=positions, sources="in_context")
    batches = collator(text_data, choice, masking(), counts=counts())
    batch = batches(EXAMPLES)
    exchange = batch[EXCHANGE]
    assert torch.equal(exchange["write"], exchange["read"])
    assert torch.equal(exchange["source"]["attention_mask"], batch["attention_mask"])
    original = Collator(batches.split, 0)(EXAMPLES)["input_ids"]
    assert not np.isin(original.flatten()[exchange["write"]].numpy(), SPECIAL).any()
    source = exchange["source"]["input_ids"].flatten()
    kept = torch.ones(len(source), dtype=torch.bool).index_fill(0, exchange["write"], False)
    assert torch.equal(source[kept], batch["input_ids"].flatten()[kept])
    drawn = Counter(source[~kept].tolist())
    assert set(drawn) == {10, 11}
    assert drawn[10] > drawn[11]
    if positions == "consecutive":
        for write, _ in places(batch):
            assert write == list(range(write[0], write[0] + len(write)))


def test_in_context_draws_go_by_the_counts(text_data: Path) -> None:
    batches = collator(text_data, Choice(positions="scattered", sources="in_context"), counts=counts())
    drawn: Counter[int] = Counter()
    for epoch in range(20):
        batches.epoch = epoch
        exchange = batches(EXAMPLES)[EXCHANGE]
        drawn.update(exchange["source"]["input_ids"].flatten()[exchange["write"]].tolist())
    assert drawn[10] / drawn[11] == pytest.approx(3, rel=0.2)


def test_swapped_tokens_stand_at_the_positions_of_the_base(text_data: Path) -> None:
    activations = collator(text_data, Choice(), masking())(EXAMPLES)
    tokens = collator(text_data, Choice(swap="tokens"), masking())(EXAMPLES)
    exchange = activations[EXCHANGE]
    mixed = activations["input_ids"].flatten().clone()
    mixed[exchange["write"]] = exchange["source"]["input_ids"].flatten()[exchange["read"]]
    assert torch.equal(tokens[EXCHANGE]["mixed"].flatten(), mixed)
    assert not torch.equal(tokens[EXCHANGE]["mixed"], tokens["input_ids"])
    assert torch.equal(tokens["labels"], activations["labels"])


def test_pairs_of_texts_have_sources_of_two_texts(question_data: Path) -> None:
    batch = collator(question_data, Choice())(EXAMPLES)
    source = batch[EXCHANGE]["source"]
    split = EncodedSplit(question_data, "train")
    exchanges = Exchanges(split, 0, Choice(), [1], 1)
    for row, example in enumerate(exchanges.sources(np.array(EXAMPLES), 0)):
        types = split.column("token_type_ids")[np.array([example])]
        length = int(source["attention_mask"][row].sum())
        assert source["token_type_ids"][row, :length].tolist() == types[:length].tolist()


@pytest.mark.parametrize("choice", [Choice(), Choice(positions="scattered", sources="epoch")])
@pytest.mark.parametrize("targets", [None, masking(), masking(kind=FixedMasking), NextToken()])
def test_processes_have_the_parts_of_one_batch(
    choice: Choice, targets: Targets | None, text_data: Path
) -> None:
    whole = collator(text_data, choice, targets)(EXAMPLES)
    for rank in range(2):
        batches = collator(text_data, choice, targets)
        batches.part = (rank, 2)
        part = batches(EXAMPLES)
        assert places(part) == places(whole)[rank::2]
        assert part[EXCHANGE]["choice"] == whole[EXCHANGE]["choice"]
        source, own = (batch[EXCHANGE]["source"] for batch in (whole, part))
        width = own["input_ids"].shape[1]
        assert torch.equal(own["input_ids"], source["input_ids"][rank::2, :width])


def test_positions_are_those_of_an_example_whatever_its_batch(text_data: Path) -> None:
    batches = collator(text_data, Choice())
    equal = [
        int(i) for i in np.flatnonzero(batches.split.lengths == np.bincount(batches.split.lengths).argmax())
    ]
    whole, part = batches(equal), batches(equal[:2])
    assert places(part) == places(whole)[:2]


def test_entries_are_drawn_equally_often(text_data: Path) -> None:
    batches = collator(text_data, Choice(), alternatives=[1, 2, 1])
    drawn: Counter[tuple[int, int]] = Counter()
    for epoch in range(900):
        batches.epoch = epoch
        drawn[batches([3, 4])[EXCHANGE]["choice"]] += 1
    assert sorted(drawn) == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert [drawn[0, 0], drawn[1, 0] + drawn[1, 1], drawn[2, 0]] == pytest.approx([300] * 3, abs=60)
    assert drawn[1, 0] == pytest.approx(150, abs=45)


@pytest.mark.parametrize("targets", [None, NextToken()])
def test_masked_positions_need_masked_tokens(targets: Targets | None, text_data: Path) -> None:
    with pytest.raises(KdpipeError, match="predicts masked tokens"):
        collator(text_data, Choice(positions="masked"), targets)


def test_tokens_in_context_need_counts(text_data: Path) -> None:
    with pytest.raises(KdpipeError, match="counts of tokens, found none"):
        collator(text_data, Choice(sources="in_context"))


def test_batches_are_as_without_an_exchange(text_data: Path) -> None:
    batch = collator(text_data, Choice(), masking())(EXAMPLES)
    del batch[EXCHANGE]
    plain = Collator(EncodedSplit(text_data, "train"), 0, masking())(EXAMPLES)
    assert batch.keys() == plain.keys()
    assert all(torch.equal(batch[name], plain[name]) for name in plain if name != "counts")
    assert (batch["labels"] != IGNORE_INDEX).all()
