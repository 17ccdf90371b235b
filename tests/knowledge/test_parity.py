"""What is stored of a teacher's states teaches what the same part of a teacher beside the student does."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdpipe.anatomy.knowledge import Amount, Selection, Share
from kdpipe.anatomy.signals import StoredPrecision
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Targets
from kdpipe.errors import KdpipeError
from kdpipe.evaluation.scoring import head_of, task_of, token_targets
from kdpipe.knowledge.choosing import ChoosingTeacher, is_selected
from kdpipe.knowledge.rows import ChosenRows
from kdpipe.knowledge.stored import SelectedKnowledge
from kdpipe.knowledge.storing import StoringTeacher
from kdpipe.losses import (
    AttentionCELoss,
    AttentionMSELoss,
    CosineLoss,
    EMDLoss,
    GramLoss,
    HiddenMSELoss,
    KLLoss,
    MMDLoss,
    PKDLoss,
    RelationLoss,
    SoftCrossEntropyLoss,
)
from kdpipe.models.loading import load_model, load_tokenizer, load_with_head
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.cache import SIGNALS
from kdpipe.signals.capture import STUDENT, TEACHER, capture
from kdpipe.training.objective import Objective
from kdpipe.training.terms import Weighted, build_objective
from tests.models.conftest import PRUNABLE, bodies, scattered
from tests.signals.test_parity import DATA
from tests.sums import sums_of
from tests.tolerance import rounding

__all__ = ["bodies"]
SEPARATORS = (3,)
ROWS = [
    KLLoss(),
    Weighted(HiddenMSELoss(), layers=[(0, 0), (2, 1), (4, 4)]),
    Weighted(CosineLoss(), layers=[(3, 2), (4, 3)]),
    Weighted(HiddenMSELoss(normalize=True), layers="spaced", over_pairs="sum"),
]
STATES = [
    Weighted(AttentionMSELoss(), layers=[(1, 2), (3, 4)]),
    Weighted(AttentionCELoss(), layers="last"),
    Weighted(RelationLoss(), layers="last"),
    Weighted(GramLoss(), layers=[((0, 4), (1, 3))]),
    Weighted(MMDLoss(), layers=[(4, 4), (2, 1)]),
]
SELECTIONS = {
    "layers": (Selection(Amount(layers=1)), [*ROWS, *STATES, Weighted(PKDLoss(), layers="spaced")]),
    "tokens": (Selection(Amount(tokens=3)), [*ROWS, *STATES, EMDLoss()]),
    "left": (Selection(Amount(tokens=5), "left_first"), [*ROWS, *STATES, EMDLoss()]),
    "top": (Selection(Amount(2, 4), "attention", "top"), [*ROWS, *STATES]),
    "largest": (Selection(Amount(hidden=0.3)), ROWS),
    "spread": (Selection(Amount(hidden=0.3), hidden_scheme="uniform"), [*ROWS, EMDLoss()]),
    "drawn": (Selection(Amount(2, 6, 0.5), hidden_scheme="random", seed=3), ROWS),
    "joint": (Selection(Amount(1, 10, 0.1)), ROWS),
    "code": (Selection(Amount(2, 4, 0.3), "attention_no_sep", "top", "magnitude", "code"), ROWS),
}
# What other readers take of the same cache.
OTHERS = {
    "alone": [],
    "beside": [Share(2, 0.5), Share(7, 0.1), Share(4, 0.2)],
    "whole": [Share()],
}


def objective_for(losses: Sequence[Any], selection: Selection, data: Path) -> Objective:
    weighted = [loss if isinstance(loss, Weighted) else Weighted(loss) for loss in losses]
    # Each objective needs its own losses, as some carry numbers from step to step.
    shapes = {"teacher": (4, 16)}, (4, 16)
    return build_objective(deepcopy(weighted), task_of(data), *shapes, seed=1, selection=selection)


def sides(
    objective: Objective,
    selection: Selection,
    source: Any,
    split: EncodedSplit,
    folder: Path,
    precision: StoredPrecision = "float32",
    others: Sequence[Share] = (),
    targets: Targets | None = None,
) -> tuple[Collator, ChoosingTeacher]:
    """Store what an objective takes of a teacher; return batches that hold it, and the teacher that runs."""
    request = objective.teachers[TEACHER]
    shares = {signal: (selection.stored, *others) for signal in request.signals if is_selected(signal)}
    storing = StoringTeacher(source, request, selection, SEPARATORS, precision, shares)
    collator = Collator(split, 0, targets, tokens=objective.tokens)
    write_knowledge(folder / SIGNALS, storing, collator, precision, torch.device("cpu"))
    stored = SelectedKnowledge(folder / SIGNALS, split, selection, request, targets)
    stored.require(request)
    cached = Collator(split, 0, targets, knowledge={TEACHER: stored}, tokens=objective.tokens)
    return cached, ChoosingTeacher(source, request, selection, SEPARATORS, precision)


@torch.no_grad()
def assert_equal(
    objective: Objective, student: Any, teacher: ChoosingTeacher, batch: dict[str, Any], tolerance: float
) -> None:
    """Compare the losses against stored states with the losses against a teacher that runs."""
    made = capture(student, batch, objective.requests[STUDENT])
    # The weights of the blocks of `emd` change with every batch.
    fresh = deepcopy(objective)
    online = sums_of(objective, {STUDENT: made, TEACHER: teacher(batch)}, batch)
    cached = sums_of(fresh, {STUDENT: made, **batch["signals"]}, batch)
    assert online
    for name, value in online.items():
        assert float(value) > 0, name
        assert float(cached[name]) == pytest.approx(float(value), rel=tolerance), name


@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize(("selection", "losses"), SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_stored_part_gives_the_losses_of_a_teacher_that_runs(
    selection: Selection,
    losses: Sequence[Any],
    others: Sequence[Share],
    precision: StoredPrecision,
    language_model: Path,
    task_data: Path,
    tmp_path: Path,
) -> None:
    head = head_of(task_data)
    student, source = (scattered(load_with_head(language_model, head, seed).eval(), seed) for seed in (1, 2))
    objective = objective_for(losses, selection, task_data)
    split = EncodedSplit(task_data, "train")
    cached, teacher = sides(objective, selection, source, split, tmp_path, precision, others)
    batch = cached(np.random.default_rng(0).permutation(60)[:20].tolist())
    tolerance = rounding() if precision == "float32" else rounding(4, torch.float16)
    assert_equal(objective, student, teacher, batch, tolerance)


JOINT = Selection(Amount(2, 4, 0.3))
STATE = [Weighted(HiddenMSELoss(), layers=[(1, 1), (2, 2), (3, 3)])]


@pytest.mark.parametrize("name", PRUNABLE)
def test_every_family_gives_a_part(
    name: str, bodies: dict[str, Path], task_data: Path, tmp_path: Path
) -> None:
    head = head_of(task_data)
    student, source = (scattered(load_with_head(bodies[name], head, seed).eval(), seed) for seed in (1, 2))
    objective = objective_for([*STATE, KLLoss()], JOINT, task_data)
    cached, teacher = sides(objective, JOINT, source, EncodedSplit(task_data, "train"), tmp_path)
    assert_equal(objective, student, teacher, cached(range(20)), rounding())


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_every_task_gives_a_part(
    data: str, language_model: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(data)
    head = head_of(folder)
    student, source = (scattered(load_with_head(language_model, head, seed).eval(), seed) for seed in (1, 2))
    objective = objective_for([*STATE, SoftCrossEntropyLoss()], JOINT, folder)
    cached, teacher = sides(objective, JOINT, source, EncodedSplit(folder, "train"), tmp_path)
    assert_equal(objective, student, teacher, cached(range(20)), rounding())


def test_text_that_is_masked_in_several_ways_gives_a_part(
    language_model: Path, text_data: Path, tmp_path: Path
) -> None:
    student, source = (scattered(load_model(language_model).eval(), seed) for seed in (1, 2))
    targets = token_targets(source, load_tokenizer(language_model), 1, fixed=3, smoothing=0)
    objective = objective_for([*STATE, KLLoss()], JOINT, text_data)
    split = EncodedSplit(text_data, "train")
    cached, teacher = sides(objective, JOINT, source, split, tmp_path, targets=targets)
    for epoch in (0, 2, 4):
        cached.epoch = epoch
        assert_equal(objective, student, teacher, cached(range(5, 17)), rounding())


def test_a_student_that_is_its_teacher_has_nothing_to_learn(
    language_model: Path, task_data: Path, tmp_path: Path
) -> None:
    model = scattered(load_with_head(language_model, head_of(task_data), 1).eval())
    objective = objective_for(STATE, JOINT, task_data)
    cached, _ = sides(objective, JOINT, model, EncodedSplit(task_data, "train"), tmp_path)
    batch = cached(range(20))
    made = capture(model, batch, objective.requests[STUDENT])
    [loss] = sums_of(objective, {STUDENT: made, **batch["signals"]}, batch).values()
    assert float(loss.detach()) < 1e-6


def test_gradients_reach_the_chosen_tokens_and_numbers_alone(language_model: Path, task_data: Path) -> None:
    student, source = (
        scattered(load_with_head(language_model, head_of(task_data), seed).eval(), seed) for seed in (1, 2)
    )
    objective = objective_for([Weighted(HiddenMSELoss(), layers="last")], JOINT, task_data)
    batch = Collator(EncodedSplit(task_data, "train"), 0, tokens=objective.tokens)(range(12))
    teacher = ChoosingTeacher(source, objective.teachers[TEACHER], JOINT, SEPARATORS)
    theirs = teacher(batch)
    made = capture(student, batch, objective.requests[STUDENT])
    [state] = [signal for signal in made if signal.kind == "hidden_states"]
    values = made[state].values.detach().requires_grad_()
    made[state] = replace(made[state], values=values)
    [loss] = sums_of(objective, {STUDENT: made, TEACHER: theirs}, batch).values()
    loss.backward()
    [chosen] = theirs.values()
    assert isinstance(chosen, ChosenRows)
    assert chosen.factors is not None
    touched = values.grad != 0
    places = {place: row for row, place in enumerate(made[state].places.tolist())}
    expected = torch.zeros_like(touched)
    for row, place in enumerate(chosen.places.tolist()):
        expected[places[place]] = chosen.factors[row] > 0
    assert torch.equal(touched, expected)


def test_a_loss_is_the_mean_over_the_chosen_tokens_whatever_the_micro_batches(
    language_model: Path, task_data: Path
) -> None:
    student, source = (
        scattered(load_with_head(language_model, head_of(task_data), seed).eval(), seed) for seed in (1, 2)
    )
    losses = [*STATE, Weighted(AttentionMSELoss(), layers="last"), Weighted(MMDLoss(), layers="last")]
    for loss, counted in zip(losses, ("chosen", "chosen keys", "chosen pairs"), strict=True):
        selection = Selection(Amount(tokens=4))
        objective = objective_for([loss], selection, task_data)
        [term] = objective.terms
        assert term.averaged_over == counted
        collator = Collator(EncodedSplit(task_data, "train"), 0, tokens=objective.tokens)
        teacher = ChoosingTeacher(source, objective.teachers[TEACHER], selection, SEPARATORS)
        totals = []
        for parts in ([range(12)], [range(5), range(5, 12)]):
            sums, counts = 0.0, 0
            for part in parts:
                batch = collator(part)
                made = capture(student, batch, objective.requests[STUDENT])
                [value] = sums_of(objective, {STUDENT: made, TEACHER: teacher(batch)}, batch).values()
                sums, counts = sums + float(value.detach()), counts + batch["counts"][counted]
            totals.append(sums / counts)
        assert totals[0] == pytest.approx(totals[1], rel=rounding())


@pytest.mark.parametrize(
    ("loss", "amount", "message"),
    [
        (Weighted(EMDLoss()), Amount(layers=1), "compares all blocks"),
        (Weighted(PKDLoss()), Amount(tokens=2), "the first token alone"),
        (Weighted(GramLoss()), Amount(hidden=0.5), "compares states as a whole"),
        (Weighted(HiddenMSELoss(), modules=[("a", "b")]), Amount(tokens=2), "of layers, and not of modules"),
    ],
)
def test_losses_that_take_no_part_refuse_it(
    loss: Weighted, amount: Amount, message: str, task_data: Path
) -> None:
    with pytest.raises(KdpipeError, match=message):
        objective_for([loss], Selection(amount), task_data)
