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
from kdpipe.anatomy.signals import Signal, StoredPrecision
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
from kdpipe.signals.capture import STUDENT, TEACHER, Request, capture
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
    selection = Selection(Amount(1, 4, 0.3))
    objective = objective_for([Weighted(HiddenMSELoss(), layers="last")], selection, task_data)
    batch = Collator(EncodedSplit(task_data, "train"), 0, tokens=objective.tokens)(range(12))
    teacher = ChoosingTeacher(source, objective.teachers[TEACHER], selection, SEPARATORS)
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


# What was stored, of which the selection is a part that was not stored by itself.
PREFIXES = {
    "tokens": (Selection(Amount(tokens=5)), [Share(12)]),
    "width of all numbers": (Selection(Amount(2, 5, 0.3)), [Share(12)]),
    "width of the same tokens": (Selection(Amount(2, 5, 0.3)), [Share(5, 0.6)]),
    "fixed before": (Selection(Amount(2, 5, 0.3)), [Share(tokens, 0.5) for tokens in range(1, 13)]),
    "spread": (Selection(Amount(2, 5, 0.25), hidden_scheme="uniform"), [Share(12, 0.5)]),
    "drawn": (Selection(Amount(2, 5, 0.25), hidden_scheme="random", seed=3), [Share(12, 0.5, 3)]),
    "code": (Selection(Amount(2, 5, 0.25), compat="code"), [Share(12)]),
}


@pytest.mark.parametrize(("selection", "shares"), PREFIXES.values(), ids=PREFIXES)
def test_a_part_of_what_was_stored_gives_the_losses_of_a_teacher_that_runs(
    selection: Selection, shares: list[Share], language_model: Path, task_data: Path, tmp_path: Path
) -> None:
    head = head_of(task_data)
    student, source = (scattered(load_with_head(language_model, head, seed).eval(), seed) for seed in (1, 2))
    losses = [Weighted(HiddenMSELoss(), layers="spaced"), Weighted(CosineLoss(), layers="last")]
    objective, split = objective_for(losses, selection, task_data), EncodedSplit(task_data, "train")
    request = objective.teachers[TEACHER]
    every = dict.fromkeys(request.signals, shares)
    storing = StoringTeacher(source, request, selection, SEPARATORS, "float32", every)
    collator = Collator(split, 0, tokens=objective.tokens)
    write_knowledge(tmp_path / SIGNALS, storing, collator, "float32", torch.device("cpu"))
    stored = SelectedKnowledge(tmp_path / SIGNALS, split, selection, request)
    stored.require(request)
    cached = Collator(split, 0, knowledge={TEACHER: stored}, tokens=objective.tokens)
    teacher = ChoosingTeacher(source, request, selection, SEPARATORS, "float32")
    assert_equal(objective, student, teacher, cached(range(20)), rounding())


def test_signals_that_one_block_ranks_keep_as_many_tokens_as_their_readers_take(
    language_model: Path, task_data: Path, tmp_path: Path
) -> None:
    head = head_of(task_data)
    student, source = (scattered(load_with_head(language_model, head, seed).eval(), seed) for seed in (1, 2))
    selection, split = Selection(Amount(tokens=12)), EncodedSplit(task_data, "train")
    objective = objective_for([Weighted(HiddenMSELoss(), layers=[(0, 0)])], selection, task_data)
    request = objective.teachers[TEACHER]
    shares = {Signal("hidden_states", 0, 1): (Share(12),), Signal("hidden_states", 1, 1): (Share(5),)}
    both = Request(tuple(shares), request.positions)
    storing = StoringTeacher(source, both, selection, SEPARATORS, "float32", shares)
    collator = Collator(split, 0, tokens=objective.tokens)
    write_knowledge(tmp_path / SIGNALS, storing, collator, "float32", torch.device("cpu"))
    stored = SelectedKnowledge(tmp_path / SIGNALS, split, selection, request)
    cached = Collator(split, 0, knowledge={TEACHER: stored}, tokens=objective.tokens)
    teacher = ChoosingTeacher(source, request, selection, SEPARATORS, "float32")
    assert_equal(objective, student, teacher, cached(range(20)), rounding())


@torch.no_grad()
@pytest.mark.parametrize("compat", ["paper", "code"])
def test_the_loss_is_that_of_a_loop_over_examples_layers_and_tokens(
    compat: Any, language_model: Path, task_data: Path
) -> None:
    """From whole states and attention alone: no code of the selection has a part in the loop."""
    head = head_of(task_data)
    student, source = (scattered(load_with_head(language_model, head, seed).eval(), seed) for seed in (1, 2))
    pairs = [(1, 1), (2, 2), (4, 3)]
    selection = Selection(Amount(2, 3, 0.3), compat=compat)
    loss = Weighted(HiddenMSELoss(), layers=pairs, over_pairs="sum")
    objective = objective_for([loss], selection, task_data)
    batch = Collator(EncodedSplit(task_data, "train"), 0, tokens=objective.tokens)(range(20))
    teacher = ChoosingTeacher(source, objective.teachers[TEACHER], selection, SEPARATORS, "float32")
    made = capture(student, batch, objective.requests[STUDENT])
    [found] = sums_of(objective, {STUDENT: made, TEACHER: teacher(batch)}, batch).values()
    expected = 0.0
    for theirs, ours in pairs[1:]:
        states = [_states(model, batch)[place] for model, place in ((source, theirs), (student, ours))]
        chosen = _ranked_by_hand(source, batch, theirs, 3, scores=compat == "code")
        values = [(states[0][row, tokens], states[1][row, tokens]) for row, tokens in enumerate(chosen)]
        if compat == "code":
            every = torch.cat([target.flatten().abs() for target, _ in values]).sort(descending=True).values
            least = every[int(0.3 * len(every)) - 1]
            squares = [(own - target * (target.abs() >= least)).square() for target, own in values]
            expected += sum(float(each.mean(1).sum()) for each in squares)
            continue
        for target, own in values:
            kept = target.flatten().abs().argsort(descending=True)[: int(0.3 * target.numel())]
            squared = (own - target).flatten()[kept].square()
            expected += len(target) * float(squared.mean())
    assert float(found) == pytest.approx(expected, rel=1e-4)


def _states(model: Any, batch: dict[str, Any]) -> list[torch.Tensor]:
    words = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    return [*model(**words, output_hidden_states=True).hidden_states]


def _ranked_by_hand(model: Any, batch: dict[str, Any], layer: int, tokens: int, scores: bool) -> list[Any]:
    """Return the best tokens of each text, by the mean attention of the first one over the heads."""
    block = model.base_model.encoder.layer[layer - 1].attention.self
    below = _states(model, batch)[layer - 1]
    heads = block.num_attention_heads
    query, key = (
        part(below).view(*below.shape[:2], heads, -1).transpose(1, 2) for part in (block.query, block.key)
    )
    logits = (query[:, :, :1] @ key.transpose(2, 3)).squeeze(2) / query.shape[-1] ** 0.5
    real = batch["attention_mask"].bool()
    weights = logits if scores else logits.masked_fill(~real[:, None], -torch.inf).softmax(-1)
    found = []
    for row, weight in enumerate(weights.mean(1)):
        words = batch["input_ids"][row].tolist()
        order = [(words[p] in SEPARATORS, -float(weight[p]), p) for p in range(len(words)) if real[row, p]]
        found.append([place for *_, place in sorted(order)][:tokens])
    return found
