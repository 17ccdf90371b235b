"""A cache holds what the teacher says, example by example, whatever the batches."""

import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from kdpipe.anatomy.signals import LOGITS, Signal, StoredPrecision
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.mapped import open_batches
from kdpipe.errors import KdpipeError
from kdpipe.models.loading import Head, load_frozen
from kdpipe.signals import building
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.cache import PRECISION, SIGNALS, CachedKnowledge
from kdpipe.signals.capture import Request, Signals, Teacher
from kdpipe.signals.rows import pack, rows_at
from tests.encoded import read_split, write_split
from tests.tolerance import ROUNDINGS, assert_close

CPU = torch.device("cpu")
FIRST, SECOND, LAST = (Signal("hidden_states", state) for state in (0, 2, 4))


@pytest.fixture
def teacher(classifier: Path) -> Teacher:
    model = load_frozen(classifier, Head("classification", ("0", "1")), CPU)
    return Teacher(model, Request((LOGITS, FIRST, LAST)))


@pytest.fixture
def collator(task_data: Path) -> Collator:
    return Collator(EncodedSplit(task_data, "train"), pad_id=0)


@pytest.mark.parametrize(
    ("precision", "roundings"), [("float32", ROUNDINGS), ("float16", 1), ("bfloat16", 1)]
)
def test_stored_signals_are_the_teachers(
    teacher: Teacher, collator: Collator, tmp_path: Path, precision: StoredPrecision, roundings: float
) -> None:
    path = tmp_path / SIGNALS
    write_knowledge(path, teacher, collator, precision, CPU)
    knowledge = CachedKnowledge(path, collator.split)
    recorded = [field.metadata[PRECISION.encode()].decode() for field in open_batches(path)[0].schema]
    assert recorded == [precision, precision, "float32"]
    indices = np.array([3, 90, 17])
    batch = collator(indices.tolist())
    online, stored = teacher(batch), knowledge.batch(indices, batch)
    assert_close(stored[LOGITS].values, online[LOGITS].values)
    for signal in (FIRST, LAST):
        found = stored[signal].values
        assert found.dtype == getattr(torch, precision)
        assert stored[signal].examples.equal(online[signal].examples)
        assert_close(found.float(), online[signal].values, roundings, getattr(torch, precision))


def test_losses_that_read_what_is_not_stored_are_refused(
    teacher: Teacher, collator: Collator, tmp_path: Path
) -> None:
    path = tmp_path / SIGNALS
    write_knowledge(path, teacher, collator, "float32", CPU)
    knowledge = CachedKnowledge(path, collator.split)
    knowledge.require(Request((LOGITS, LAST)))
    with pytest.raises(
        KdpipeError, match=r"read the teacher's hidden_states\.2, which .* it has .*states\.0"
    ):
        knowledge.require(Request((LOGITS, SECOND)))
    with pytest.raises(
        KdpipeError, match=r"read the teacher's logits, which the file lacks, or has at other"
    ):
        knowledge.require(Request((LOGITS,), "tokens"))


def test_record_batches_change_nothing(
    teacher: Teacher, collator: Collator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_knowledge(tmp_path / "whole", teacher, collator, "float32", CPU)
    monkeypatch.setattr(building, "STORED_ROWS", 10)
    write_knowledge(tmp_path / "parts", teacher, collator, "float32", CPU)
    parts = CachedKnowledge(tmp_path / "parts", collator.split)
    monkeypatch.undo()
    whole = CachedKnowledge(tmp_path / "whole", collator.split)
    indices = np.array([0, 9, 10, 95])
    monkeypatch.setattr(building, "STORED_ROWS", 10)
    batch = collator(indices.tolist())
    found = parts.batch(indices, batch)
    monkeypatch.undo()
    for signal, expected in whole.batch(indices, batch).items():
        assert_close(found[signal].values, expected.values)


def test_signals_on_other_tokens_are_refused(
    teacher: Teacher, collator: Collator, task_data: Path, tmp_path: Path
) -> None:
    other = EncodedSplit(task_data, "train")
    other.lengths = other.lengths + 1
    write_knowledge(tmp_path / SIGNALS, teacher, collator, "float32", CPU)
    with pytest.raises(KdpipeError, match="other tokens than the student reads"):
        CachedKnowledge(tmp_path / SIGNALS, other)
    with pytest.raises(KdpipeError, match="other examples"):
        CachedKnowledge(tmp_path / SIGNALS, EncodedSplit(task_data, "validation"))


def test_examples_in_another_order_are_refused_where_only_logits_are_stored(
    classifier: Path, collator: Collator, task_data: Path, tmp_path: Path
) -> None:
    teacher = Teacher(load_frozen(classifier, Head("classification", ("0", "1")), CPU), Request())
    write_knowledge(tmp_path / SIGNALS, teacher, collator, "float32", CPU)
    turned = shutil.copytree(task_data, tmp_path / "turned")
    table = read_split(turned, "train")
    write_split(turned, "train", table.take(np.arange(len(table))[::-1]))
    with pytest.raises(KdpipeError, match=r"other examples than .* has, or in another order"):
        CachedKnowledge(tmp_path / SIGNALS, EncodedSplit(turned, "train"))


@pytest.mark.parametrize(("largest", "words"), [
    (65_504, ""),
    (1e5, r"hidden_states.2 reaches 100,000, more than the 65,504 that float16 holds; give `cache_precision"),
    (np.inf, "hidden_states.2 is not finite; its training has diverged"),
    (np.nan, "hidden_states.2 is not finite"),
])  # fmt: skip
def test_states_that_float16_does_not_hold_are_refused(
    largest: float, words: str, collator: Collator, tmp_path: Path
) -> None:
    """The values of T5's residual streams are an example."""

    def teacher(batch: Mapping[str, torch.Tensor]) -> Signals:
        states = torch.zeros(*batch["input_ids"].shape, 4)
        states[0, 0, 0] = largest
        return {SECOND: rows_at(pack(states, batch["token_rows"]), "tokens", batch)}

    refused = pytest.raises(KdpipeError, match=words) if words else nullcontext()
    with refused:
        write_knowledge(tmp_path / SIGNALS, teacher, collator, "float16", CPU)
    for wider in ("float32", "bfloat16") if np.isfinite(largest) else ():
        write_knowledge(tmp_path / SIGNALS, teacher, collator, wider, CPU)
        stored = CachedKnowledge(tmp_path / SIGNALS, collator.split)
        found = stored.batch(np.arange(96), collator(range(96)))[SECOND].values.max()
        assert found == torch.tensor(largest, dtype=getattr(torch, wider))


def test_logits_alone_serve_a_student_with_another_tokenizer(
    classifier: Path, collator: Collator, task_data: Path, tmp_path: Path
) -> None:
    model = load_frozen(classifier, Head("classification", ("0", "1")), CPU)
    write_knowledge(tmp_path / SIGNALS, Teacher(model, Request()), collator, "float32", CPU)
    other = EncodedSplit(task_data, "train")
    other.lengths = other.lengths + 1
    knowledge = CachedKnowledge(tmp_path / SIGNALS, other)
    assert list(knowledge.batch(np.array([0, 1]), collator([0, 1]))) == [LOGITS]


def test_starts_and_ends_are_stored_by_token(reader: Path, question_data: Path, tmp_path: Path) -> None:
    model = load_frozen(reader, Head("question_answering"), CPU)
    teacher = Teacher(model, Request((LOGITS, LAST), "spans"))
    collator = Collator(EncodedSplit(question_data, "train"), pad_id=0)
    write_knowledge(tmp_path / SIGNALS, teacher, collator, "float32", CPU)
    knowledge = CachedKnowledge(tmp_path / SIGNALS, collator.split)
    for indices in ([0, 5, 1, 60], [int(collator.split.lengths.argmin())]):
        batch = collator(indices)
        online, stored = (
            rows.at("spans", batch).values
            for rows in (teacher(batch)[LOGITS], knowledge.batch(np.array(indices), batch)[LOGITS])
        )
        assert stored.shape == (2 * len(indices), batch["input_ids"].shape[1])
        assert_close(stored, online)
    other = EncodedSplit(question_data, "train")
    other.lengths = other.lengths + 1
    with pytest.raises(KdpipeError, match="other tokens than the student reads"):
        CachedKnowledge(tmp_path / SIGNALS, other)


def test_a_cache_is_read_where_it_lies_with_64_bit_offsets(
    teacher: Teacher, collator: Collator, tmp_path: Path
) -> None:
    write_knowledge(tmp_path / SIGNALS, teacher, collator, "float32", CPU)
    before = pa.total_allocated_bytes()
    knowledge = CachedKnowledge(tmp_path / SIGNALS, collator.split)
    assert pa.total_allocated_bytes() == before
    for signal, column in knowledge.columns.items():
        assert pa.types.is_large_list(open_batches(tmp_path / SIGNALS)[0].schema.field(str(signal)).type)
        assert all(offsets.dtype == np.int64 for _, offsets in column.parts)
        assert not any(array.flags.owndata for part in column.parts for array in part)
