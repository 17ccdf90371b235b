"""A cache holds what the teacher says, example by example, whatever the batches."""

import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import KdpipeError
from kdpipe.evaluation.tasks.classification import Classification
from kdpipe.evaluation.tasks.question_answering import QuestionAnswering
from kdpipe.models.loading import load_frozen
from kdpipe.signals import cache
from kdpipe.signals.cache import SIGNALS, CachedKnowledge, check_size, write_knowledge
from kdpipe.signals.capture import SPANS, Request, Signals
from kdpipe.signals.rows import pack
from kdpipe.signals.teacher import Teacher
from tests.tolerance import ROUNDINGS, assert_close

CPU = torch.device("cpu")


@pytest.fixture
def teacher(classifier: Path) -> Teacher:
    return Teacher(load_frozen(classifier, Classification.head(("0", "1")), CPU), Request(True, (0, 4)))


@pytest.fixture
def collator(task_data: Path) -> Collator:
    return Collator(EncodedSplit(task_data, "train"), pad_id=0)


@pytest.mark.parametrize(("precision", "roundings"), [("float32", ROUNDINGS), ("float16", 1)])
def test_stored_signals_are_the_teachers(
    teacher: Teacher, collator: Collator, tmp_path: Path, precision: str, roundings: float
) -> None:
    write_knowledge(tmp_path / SIGNALS, teacher, collator, precision, CPU)
    knowledge = CachedKnowledge(tmp_path / SIGNALS, collator.split)
    indices = np.array([3, 90, 17])
    batch = collator(indices.tolist())
    online, stored = teacher(batch), knowledge.batch(indices)
    assert_close(stored["teacher_logits"], online.logits)
    for state in (0, 4):
        expected = pack(online.hidden_states[state], batch["token_rows"])
        found = stored[f"teacher_state_{state}"]
        assert found.dtype == getattr(torch, precision)
        assert_close(found.float(), expected, roundings, getattr(torch, precision))


def test_record_batches_change_nothing(
    teacher: Teacher, collator: Collator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_knowledge(tmp_path / "whole", teacher, collator, "float32", CPU)
    monkeypatch.setattr(cache, "ROWS", 10)
    write_knowledge(tmp_path / "parts", teacher, collator, "float32", CPU)
    parts = CachedKnowledge(tmp_path / "parts", collator.split)
    monkeypatch.undo()
    whole = CachedKnowledge(tmp_path / "whole", collator.split)
    indices = np.array([0, 9, 10, 95])
    monkeypatch.setattr(cache, "ROWS", 10)
    found = parts.batch(indices)
    monkeypatch.undo()
    for name, expected in whole.batch(indices).items():
        assert_close(found[name], expected)


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
    teacher = Teacher(load_frozen(classifier, Classification.head(("0", "1")), CPU), Request())
    write_knowledge(tmp_path / SIGNALS, teacher, collator, "float32", CPU)
    turned = shutil.copytree(task_data, tmp_path / "turned")
    table = pq.read_table(turned / "train.parquet")
    pq.write_table(table.take(np.arange(len(table))[::-1]), turned / "train.parquet")
    with pytest.raises(KdpipeError, match=r"other examples than those of .*, or in another order"):
        CachedKnowledge(tmp_path / SIGNALS, EncodedSplit(turned, "train"))


@pytest.mark.parametrize(("largest", "words"), [
    (65_504, ""),
    (1e5, r"hidden state 2 reaches 100,000, more than the 65,504 that float16 holds; give `cache_precision"),
    (np.inf, "hidden state 2 is not finite; its training has diverged"),
    (np.nan, "hidden state 2 is not finite"),
])  # fmt: skip
def test_states_that_float16_does_not_hold_are_refused(
    largest: float, words: str, collator: Collator, tmp_path: Path
) -> None:
    """Those of T5's residual streams, for one."""

    def teacher(batch: Mapping[str, torch.Tensor]) -> Signals:
        states = torch.zeros(*batch["input_ids"].shape, 4)
        states[0, 0, 0] = largest
        return Signals(None, {2: states})

    refused = pytest.raises(KdpipeError, match=words) if words else nullcontext()
    with refused:
        write_knowledge(tmp_path / SIGNALS, teacher, collator, "float16", CPU)
    if np.isfinite(largest):
        write_knowledge(tmp_path / SIGNALS, teacher, collator, "float32", CPU)
        stored = CachedKnowledge(tmp_path / SIGNALS, collator.split).batch(np.arange(96))
        assert stored["teacher_state_2"].max() == largest


def test_logits_alone_serve_a_student_with_another_tokenizer(
    classifier: Path, collator: Collator, task_data: Path, tmp_path: Path
) -> None:
    model = load_frozen(classifier, Classification.head(("0", "1")), CPU)
    write_knowledge(tmp_path / SIGNALS, Teacher(model, Request()), collator, "float32", CPU)
    other = EncodedSplit(task_data, "train")
    other.lengths = other.lengths + 1
    knowledge = CachedKnowledge(tmp_path / SIGNALS, other)
    assert list(knowledge.batch(np.array([0, 1]))) == ["teacher_logits"]


def test_starts_and_ends_are_stored_by_token(reader: Path, question_data: Path, tmp_path: Path) -> None:
    model = load_frozen(reader, QuestionAnswering.head(None), CPU)
    teacher = Teacher(model, Request(True, (4,), SPANS))
    collator = Collator(EncodedSplit(question_data, "train"), pad_id=0)
    by_token = Teacher(model, Request(True, (4,), "token_rows"))
    write_knowledge(tmp_path / SIGNALS, by_token, collator, "float32", CPU)
    knowledge = CachedKnowledge(tmp_path / SIGNALS, collator.split)
    for indices in ([0, 5, 1, 60], [int(collator.split.lengths.argmin())]):
        batch = collator(indices)
        online, stored = teacher(batch), knowledge.batch(np.array(indices))
        assert online.logits is not None
        assert sorted(stored) == ["teacher_logits", "teacher_state_4"]
        assert stored["teacher_logits"].shape == (2 * len(indices), batch["input_ids"].shape[1])
        assert_close(stored["teacher_logits"], online.logits)
    other = EncodedSplit(question_data, "train")
    other.lengths = other.lengths + 1
    with pytest.raises(KdpipeError, match="other tokens than the student reads"):
        CachedKnowledge(tmp_path / SIGNALS, other)


def test_a_cache_over_its_limit_is_refused() -> None:
    check_size(tokens=1000, width=100, states=4, precision="float16", limit_gb=0.0008)
    with pytest.raises(KdpipeError, match="cache: off"):
        check_size(tokens=1001, width=100, states=4, precision="float16", limit_gb=0.0008)
