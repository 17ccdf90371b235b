"""The loss is the weighted sum of its terms over real rows, however a batch is padded or cut."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from kdpipe.anatomy.signals import LOGITS, Signal
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import ModelError
from kdpipe.evaluation.scoring import token_targets
from kdpipe.losses.cosine import CosineLoss
from kdpipe.losses.emd import EMDLoss
from kdpipe.losses.hard import HardLoss
from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.losses.kl import KLLoss
from kdpipe.losses.logit_mse import LogitMSELoss
from kdpipe.losses.soft_cross_entropy import SoftCrossEntropyLoss
from kdpipe.losses.temperature import TemperatureSchedule
from kdpipe.models.loading import load_model, load_tokenizer
from kdpipe.signals.capture import STUDENT, TEACHER, Request, Signals, capture
from kdpipe.signals.rows import pack, rows_at
from kdpipe.training.objective import Objective, Term
from kdpipe.training.projection import Projection
from tests import sums
from tests.tolerance import assert_close, rounding

ROWS = torch.tensor([0, 1, 2, 4, 5])
BATCH = {"input_ids": torch.zeros(2, 4, dtype=torch.long), "token_rows": ROWS, "labels": torch.tensor([1, 0])}


def hidden(state: int) -> Signal:
    return Signal("hidden_states", state)


def signals(width: int, seed: int, states: int = 3, padding: float = 0.0) -> Signals:
    """Logits of two examples, and states of their five tokens."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for state in range(states):
        padded = torch.randn(2, 4, width, generator=generator)
        padded[0, 3] = padded[1, 2:] = padding
        found[hidden(state)] = rows_at(pack(padded, ROWS), "tokens", BATCH)
    return {LOGITS: rows_at(torch.randn(2, 2, generator=generator), "examples", BATCH), **found}


def sums_of(
    objective: Objective, student: Signals, teacher: Signals, batch: Any = BATCH
) -> dict[str, torch.Tensor]:
    return sums.sums_of(objective, {STUDENT: student, TEACHER: teacher}, batch)


def test_terms_equal_their_definitions_computed_by_hand() -> None:
    student, teacher = signals(6, 1), signals(6, 2)
    terms = [Term("hard", HardLoss()), Term("hidden", HiddenMSELoss(), 2.0, "tokens", [(0, 0), (2, 1)])]
    sums = sums_of(Objective(terms, "categorical"), student, teacher)
    logits = student[LOGITS].values
    assert_close(sums["hard"], functional.cross_entropy(logits, BATCH["labels"], reduction="sum"))
    by_hand = [
        ((student[hidden(s)].values - teacher[hidden(t)].values) ** 2).mean(-1).sum()
        for t, s in [(0, 0), (2, 1)]
    ]
    assert_close(sums["hidden"], (by_hand[0] + by_hand[1]) / 2)


def test_padding_has_no_influence() -> None:
    term = Objective([Term("cos", CosineLoss(), 1.0, "tokens", [(1, 1)])], "categorical")
    before = sums_of(term, signals(6, 1), signals(6, 2))["cos"]
    after = sums_of(term, signals(6, 1, padding=1e6), signals(6, 2, padding=torch.nan))["cos"]
    assert torch.equal(after, before)


def test_labels_matter_to_hard_terms_alone() -> None:
    """MiniDisc's losses read no labels; the losses of conventional distillation do."""
    student, teacher = signals(6, 1), signals(6, 2)
    terms = [
        Term("soft", SoftCrossEntropyLoss()),
        Term("hidden", HiddenMSELoss(), 1.0, "tokens", [(0, 0), (2, 1)]),
        Term("hard", HardLoss()),
    ]
    objective = Objective(terms, "categorical")
    ours = sums_of(objective, student, teacher)
    theirs = sums_of(objective, student, teacher, {**BATCH, "labels": 1 - BATCH["labels"]})
    assert {name for name in ours if not torch.equal(ours[name], theirs[name])} == {"hard"}


def test_a_term_of_weight_zero_is_not_computed_and_asks_for_nothing() -> None:
    objective = Objective(
        [Term("hard", HardLoss()), Term("h", HiddenMSELoss(), 0.0, "tokens", [(9, 9)])], "categorical"
    )
    assert objective.requests == {STUDENT: Request((LOGITS,), "examples")}
    assert objective.teachers == {}
    assert list(sums.sums_of(objective, {STUDENT: signals(6, 1)}, BATCH)) == ["hard"]


def test_only_states_that_are_read_are_asked_for() -> None:
    objective = Objective([Term("h", HiddenMSELoss(), 1.0, "tokens", [(0, 0), (6, 2)])], "categorical")
    assert objective.requests[TEACHER] == Request((hidden(0), hidden(6)))
    assert objective.requests[STUDENT] == Request((hidden(0), hidden(2)))


@pytest.mark.parametrize(("shared", "count"), [(False, 2), (True, 1)])
def test_projections_map_the_student_to_the_teachers_width(shared: bool, count: int) -> None:
    term = Term("h", HiddenMSELoss(), 1.0, "tokens", [(0, 0), (2, 1)], Projection("tanh", shared), (8, 6))
    objective = Objective([term], "categorical", seed=3)
    assert len(objective.projections["h"]) == count
    sums = sums_of(objective, signals(6, 1), signals(8, 2))
    sums["h"].backward()
    assert all(parameter.grad is not None for parameter in objective.parameters())
    again = Objective([term], "categorical", seed=3)
    assert all(torch.equal(a, b) for a, b in zip(objective.parameters(), again.parameters(), strict=True))


def test_different_widths_without_a_projection_are_refused() -> None:
    objective = Objective([Term("h", HiddenMSELoss(), 1.0, "tokens", [(0, 0)])], "categorical")
    with pytest.raises(ModelError, match="need a `projection`"):
        sums_of(objective, signals(6, 1), signals(8, 2))


def test_equal_models_have_no_divergence(language_model: Path, text_data: Path) -> None:
    model = load_model(language_model).eval()
    masking = token_targets(model, load_tokenizer(language_model), seed=1, smoothing=0)
    batch = Collator(EncodedSplit(text_data, "train"), 0, masking)(range(8))
    terms = [
        Term("kl", KLLoss(2.0), positions="tokens"),
        Term("kl_masked", KLLoss(2.0), positions="labelled"),
        Term("cosine", CosineLoss(), 1.0, "tokens", [(4, 4)]),
        Term("hard", HardLoss(), positions="labelled"),
    ]
    objective = Objective(terms, "categorical")
    with torch.no_grad():
        outputs = capture(model, batch, objective.requests[STUDENT])
        sums = sums_of(objective, outputs, outputs, batch)
        logits = capture(model, batch, Request(positions="labelled"))[LOGITS].values
    for name in ("kl", "kl_masked", "cosine"):
        assert abs(float(sums[name])) < len(batch["token_rows"]) * rounding(64)
    assert_close(sums["hard"], functional.cross_entropy(logits, batch["labels"], reduction="sum"))


def test_question_answering_is_the_mean_of_starts_and_ends() -> None:
    """The golden value of distillation on SQuAD: two windows of four tokens, starts and ends in turns."""

    def wave(k: float = 1.0, o: float = 0.0) -> torch.Tensor:
        return torch.sin(0.7 * k * torch.arange(8, dtype=torch.float64) + o).reshape(2, 4)

    batch = {
        "input_ids": torch.zeros(2, 4, dtype=torch.long),
        "token_rows": torch.arange(8),
        "labels": torch.tensor([1, 2, 2, 3]),
    }

    def both(*logits: torch.Tensor) -> Signals:
        return {LOGITS: rows_at(torch.stack(logits, dim=-1).flatten(0, 1), "tokens", batch)}

    student, teacher = both(wave(), wave(o=0.3)), both(wave(k=1.3, o=0.5), wave(k=1.1, o=0.2))
    terms = [Term("kl", KLLoss(2.0), 0.5, "spans"), Term("hard", HardLoss(), 0.5, "spans")]
    objective = Objective(terms, "categorical")
    assert objective.requests[STUDENT] == objective.requests[TEACHER] == Request((LOGITS,), "spans")
    sums = sums_of(objective, student, teacher, batch)
    means = {name: float(value) / 4 for name, value in sums.items()}
    assert means["kl"] == pytest.approx(0.1849760313461352, abs=1e-9)
    assert means["hard"] == pytest.approx(1.5599172767481502, abs=1e-9)
    assert sum(0.5 * mean for mean in means.values()) == pytest.approx(0.8724466540471427, abs=1e-9)


def test_padding_of_windows_costs_nothing(reader: Path, question_data: Path) -> None:
    model = load_model(reader).eval()
    split = EncodedSplit(question_data, "train")
    losses = {"kl": KLLoss(2.0), "mse": LogitMSELoss(), "hard": HardLoss()}
    objective = Objective(
        [Term(name, loss, positions="spans") for name, loss in losses.items()], "categorical"
    )

    def sums(*examples: int) -> dict[str, torch.Tensor]:
        batch = Collator(split, 0)(examples)
        signals = capture(model, batch, objective.requests[STUDENT])
        teacher = {LOGITS: replace(signals[LOGITS], values=2 * signals[LOGITS].values.detach())}
        return sums_of(objective, signals, teacher, batch)

    short, long = (int(index) for index in split.lengths.argsort()[[0, -1]])
    together, one, other = sums(short, long), sums(short), sums(long)
    for name, value in together.items():
        assert_close(value, one[name] + other[name])
    sum(together.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_a_term_may_be_the_sum_over_its_pairs() -> None:
    student, teacher = signals(6, 1), signals(6, 2)
    mean = Term("hidden", HiddenMSELoss(), 1.0, "tokens", [(0, 0), (2, 1)])
    sums = [
        sums_of(Objective([term], "categorical"), student, teacher)["hidden"]
        for term in (mean, replace(mean, over_pairs="sum"))
    ]
    assert_close(sums[1], 2 * sums[0])


def test_the_label_changes_places_with_what_the_teacher_prefers() -> None:
    student, teacher = signals(6, 1), signals(6, 2)
    teacher[LOGITS] = rows_at(torch.tensor([[3.0, 1.0], [3.0, 1.0]]), "examples", BATCH)
    shifted = {**teacher, LOGITS: rows_at(torch.tensor([[1.0, 3.0], [3.0, 1.0]]), "examples", BATCH)}
    plain = Term("kl", KLLoss())
    objective = Objective([replace(plain, shifted=True)], "categorical")
    once = sums_of(objective, student, teacher)["kl"]
    assert_close(once, sums_of(Objective([plain], "categorical"), student, shifted)["kl"])
    # Labels that are first already stay first, and the teacher's signals stay as they are.
    assert_close(sums_of(objective, student, shifted)["kl"], once)
    assert teacher[LOGITS].values.tolist() == [[3.0, 1.0], [3.0, 1.0]]


def test_the_shift_of_textbrewers_golden_values() -> None:
    student, teacher = signals(6, 1), signals(6, 2)
    batch = {**BATCH, "labels": torch.tensor([2, 0])}
    steps = torch.arange(6, dtype=torch.float64)
    theirs = torch.sin(steps * 0.7 * 1.3 + 0.5).reshape(2, 3)
    student[LOGITS] = rows_at(torch.sin(steps * 0.7).reshape(2, 3), "examples", batch)
    shifted = theirs[[0, 0, 0, 1, 1, 1], [0, 2, 1, 0, 1, 2]].reshape(2, 3)
    sums = []
    for logits, term in ((theirs, Term("kl", KLLoss(), shifted=True)), (shifted, Term("kl", KLLoss()))):
        teacher[LOGITS] = rows_at(logits, "examples", batch)
        sums.append(sums_of(Objective([term], "categorical"), student, teacher, batch)["kl"])
    assert sums[0].equal(sums[1])


def test_rows_without_label_are_left_alone() -> None:
    student, teacher = signals(6, 1), signals(6, 2)
    terms = [Term("shifted", KLLoss(), shifted=True), Term("plain", KLLoss())]
    unlabelled = {**BATCH, "labels": torch.tensor([-100, -100])}
    sums = sums_of(Objective(terms, "categorical"), student, teacher, unlabelled)
    assert_close(sums["shifted"], sums["plain"])


def test_each_block_of_a_student_has_its_projection_where_all_are_compared() -> None:
    blocks = [((1, 2), (0, 1, 2))]
    term = Term("emd", EMDLoss(), 1.0, "tokens", blocks, Projection(), (8, 6))
    objective = Objective([term], "categorical")
    assert len(objective.projections["emd"]) == 3
    sums_of(objective, signals(6, 1), signals(8, 2))["emd"].backward()
    assert all(parameter.grad is not None for parameter in objective.parameters())


def test_what_a_loss_carries_is_saved_and_restored() -> None:
    term = Term("emd", EMDLoss(), 1.0, "tokens", [((1, 2), (1, 2))])
    objective = Objective([term], "categorical")
    sums_of(objective, signals(6, 1), signals(6, 2))
    state = objective.state_dict()
    assert {name for name in state if "emd" in name} == {"states.emd.student", "states.emd.teacher"}
    assert not state["states.emd.student"].equal(torch.tensor([0.5, 0.5]))
    again = Objective([replace(term, loss=EMDLoss())], "categorical")
    again.load_state_dict(state)
    sums = [sums_of(each, signals(6, 3), signals(6, 4))["emd"] for each in (objective, again)]
    assert sums[0].equal(sums[1])


def test_losses_tell_their_temperatures() -> None:
    cwsm = TemperatureSchedule(3, "cwsm")
    objective = Objective([Term("kl", KLLoss(cwsm)), Term("hard", HardLoss())], "categorical")
    assert objective.logged() == {}
    sums_of(objective, signals(6, 1), signals(6, 2))
    lowest, highest = (objective.logged()[f"{name} temperature of kl"] for name in ("lowest", "highest"))
    # Of two rows, one is as far below the mean as the other is above it.
    assert lowest < 3 < highest
    assert_close(lowest + highest, torch.tensor(6.0))
