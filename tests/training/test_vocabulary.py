"""Losses on logits in parts of the rows are those on all logits at once, and no more logits exist at once."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Masking
from kdpipe.evaluation.tasks.language_modeling import LanguageModeling
from kdpipe.interchange.runs import student_runs
from kdpipe.losses.hard import HardLoss
from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.losses.kl import KLLoss
from kdpipe.losses.logit_mse import LogitMSELoss
from kdpipe.losses.temperature import TemperatureSchedule
from kdpipe.models.loading import load_model
from kdpipe.signals.capture import STUDENT, TEACHER, Signals, Teacher, capture
from kdpipe.training import vocabulary
from kdpipe.training.objective import Objective
from kdpipe.training.terms import Weighted, build_objective
from kdpipe.training.vocabulary import scaled_sum
from tests.sums import sums_of
from tests.tolerance import assert_close
from tests.training.conftest import weights

LOSSES = {
    "everywhere": [Weighted(KLLoss(2.0), 0.3, positions="all"), Weighted(HardLoss(), 0.5)],
    "labelled": [Weighted(KLLoss(2.0), 0.3), Weighted(HardLoss(), 0.5), Weighted(LogitMSELoss(), 0.1)],
    "largest": [Weighted(KLLoss(), 0.3, top_k=3, positions="all"), Weighted(KLLoss(), 0.1, top_k=5)],
    "shifted": [Weighted(KLLoss(), probability_shift=True), Weighted(HiddenMSELoss(), 2.0)],
    "by batch": [Weighted(KLLoss(TemperatureSchedule(2.0, "flsw"))), Weighted(HardLoss())],
    "largest by batch": [Weighted(KLLoss(TemperatureSchedule(2.0, "cwsm")), top_k=3), Weighted(KLLoss())],
}


def objective(losses: list[Weighted]) -> Objective:
    return build_objective(losses, LanguageModeling, {"teacher": (4, 16)}, (4, 16), seed=1, entries=80)


@pytest.fixture
def batch(text_data: Path) -> dict[str, Any]:
    shares = np.ones(80)
    shares[:5] = 0
    targets = Masking(shares, 4, 0.2, (0.8, 0.1, 0.1), seed=1)
    return Collator(EncodedSplit(text_data, "train"), 0, targets)(range(20))


@pytest.fixture(params=[1, 7, 50, 10**6], ids=lambda rows: f"{rows} rows")
def rows_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(vocabulary, "PROCESSOR_BYTES", request.param * 4 * 80)
    return int(request.param)


def models(language_model: Path) -> tuple[Any, Any]:
    student: Any = load_model(language_model)
    teacher: Any = load_model(language_model)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return student.eval(), teacher.eval()


def gradients(student: Any) -> Tensor:
    return torch.cat([value.grad.flatten() for value in student.parameters() if value.grad is not None])


def scales_of(made: Objective) -> dict[str, float]:
    return {name: weight / 1000 for name, weight in made.weights(0).items()}


def at_once(made: Objective, student: Any, teacher: Any, batch: Mapping[str, Any]) -> tuple[Any, Tensor]:
    """Return the sums of the terms and the gradients of the student with all logits at once."""
    student.zero_grad()
    signals: dict[Any, Signals] = {STUDENT: capture(student, batch, made.requests[STUDENT])}
    if TEACHER in made.teachers:
        signals[TEACHER] = Teacher(teacher, made.teachers[TEACHER])(batch)
    sums = sums_of(made, signals, batch)
    torch.stack([scale * sums[name] for name, scale in scales_of(made).items()]).sum().backward()
    return sums, gradients(student)


def late_signals(made: Objective, student: Any, teacher: Any, batch: Mapping[str, Any]) -> dict[Any, Signals]:
    signals = {STUDENT: student_runs(student, batch, made.runs, None)["base"]}
    if TEACHER in made.teachers:
        signals[TEACHER] = Teacher(teacher, made.teachers[TEACHER]).runs(batch)["base"]
    return signals


@pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES)
def test_losses_and_gradients_are_those_of_all_logits(losses, batch, rows_at_once, language_model) -> None:
    made = objective(losses)
    student, teacher = models(language_model)
    expected, slopes = at_once(made, student, teacher, batch)
    student.zero_grad()
    loss, sums = scaled_sum(made, late_signals(made, student, teacher, batch), batch, scales_of(made))
    loss.backward()
    assert sums.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(sums[name], value)
    assert_close(gradients(student), slopes)


@pytest.mark.parametrize("frozen", ["cls", "bert"])
def test_the_head_or_all_but_the_head_may_be_frozen(batch, rows_at_once, language_model, frozen) -> None:
    made = objective(LOSSES["everywhere"])
    student, teacher = models(language_model)
    part = getattr(student, frozen).requires_grad_(False)
    _, slopes = at_once(made, student, teacher, batch)
    student.zero_grad()
    loss, _ = scaled_sum(made, late_signals(made, student, teacher, batch), batch, scales_of(made))
    loss.backward()
    assert all(weight.grad is None for weight in part.parameters())
    assert_close(gradients(student), slopes)


def test_a_weight_of_the_head_that_no_logit_reads_has_no_effect(batch, rows_at_once, language_model) -> None:
    made = objective(LOSSES["everywhere"])
    student, teacher = models(language_model)
    expected, slopes = at_once(made, student, teacher, batch)
    student.zero_grad()
    student.cls.unread = torch.nn.Parameter(torch.ones(3))
    loss, sums = scaled_sum(made, late_signals(made, student, teacher, batch), batch, scales_of(made))
    loss.backward()
    for name, value in expected.items():
        assert_close(sums[name], value)
    assert not student.cls.unread.grad.any()
    del student.cls.unread
    assert_close(gradients(student), slopes)


def test_the_gradient_follows_the_factor_of_the_loss(batch, rows_at_once, language_model) -> None:
    made = objective(LOSSES["everywhere"])
    student, teacher = models(language_model)
    found = []
    for factor in (1.0, 64.0):
        student.zero_grad()
        loss, _ = scaled_sum(made, late_signals(made, student, teacher, batch), batch, scales_of(made))
        (factor * loss).backward()
        found.append(gradients(student))
    assert_close(found[1], 64 * found[0])


def test_without_targets_the_loss_is_0(batch, language_model) -> None:
    made = objective(LOSSES["labelled"])
    student, teacher = models(language_model)
    none = {name: batch[name][:0] for name in ("labels", "label_rows", "label_places")}
    empty = {**batch, **none, "other_places": torch.arange(len(batch["token_rows"]))}
    loss, sums = scaled_sum(made, late_signals(made, student, teacher, empty), empty, scales_of(made))
    loss.backward()
    assert loss == 0
    assert not any(sums.values())
    assert not gradients(student).any()


class Sizes(TorchDispatchMode):
    """Keeps the size of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


def test_no_more_logits_exist_than_of_a_part(batch, monkeypatch, language_model) -> None:
    monkeypatch.setattr(vocabulary, "PROCESSOR_BYTES", 16 * 4 * 80)
    made = objective(LOSSES["everywhere"])
    student, teacher = models(language_model)
    tokens = len(batch["token_rows"])
    states = batch["input_ids"].numel() * 32
    assert tokens * 80 > 1.2 * states
    with Sizes() as sizes:
        loss, _ = scaled_sum(made, late_signals(made, student, teacher, batch), batch, scales_of(made))
        loss.backward()
    assert sizes.largest <= states


@pytest.fixture
def bf16() -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16):
        yield


def test_losses_are_the_same_in_half_precision(batch, rows_at_once, language_model, bf16) -> None:
    made = objective(LOSSES["everywhere"])
    student, teacher = models(language_model)
    expected, slopes = at_once(made, student, teacher, batch)
    student.zero_grad()
    loss, sums = scaled_sum(made, late_signals(made, student, teacher, batch), batch, scales_of(made))
    loss.backward()
    for name, value in expected.items():
        assert_close(sums[name], value, dtype=torch.bfloat16, roundings=4)
    assert_close(gradients(student), slopes, dtype=torch.bfloat16, roundings=16)


def test_a_pass_without_gradients_leaves_none(batch, language_model) -> None:
    made = objective(LOSSES["everywhere"])
    student, teacher = models(language_model)
    before = weights(student)
    with torch.no_grad():
        loss, _ = scaled_sum(made, late_signals(made, student, teacher, batch), batch, scales_of(made))
    assert not loss.requires_grad
    assert torch.equal(weights(student), before)
    assert all(value.grad is None for value in student.parameters())
