"""A run of the models of a training on one example, which tells widths and heads that no config tells."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from kdpipe.anatomy.layers import parts
from kdpipe.anatomy.signals import SIGNAL_KINDS, Places, Signal
from kdpipe.data.batches import Collator, on_device
from kdpipe.errors import ModelError, listed
from kdpipe.models.family import config_shape
from kdpipe.signals.adapted import Adapted
from kdpipe.signals.capture import STUDENT, Origin, Signals, Teacher
from kdpipe.training.objective import Objective, Term
from kdpipe.training.terms import Shape, Weighted


def try_out(
    objective: Objective, student: Any, collator: Collator, teachers: Mapping[Origin, Teacher]
) -> None:
    """Make the projections whose widths only a run tells, and refuse modules and heads that do not fit.

    Args:
        objective: the loss.
        student: the model that is trained.
        collator: makes the batch, with the signals of teachers that do not run.
        teachers: the teachers that run beside the student.

    Raises:
        ModelError: a signal is missing, or has another width than the other side and no projection.
    """
    terms = [
        term
        for term in objective.terms
        if term.loss.teacher_kinds and (term.widths is None or term.loss.same_heads)
    ]
    if not terms:
        return
    batch, training = collator([0]), student.training
    runs = {**teachers, STUDENT: Teacher(student.eval(), objective.requests[STUDENT])}
    signals: dict[Origin, Signals] = dict(batch.get("signals", {}))
    for origin, run in runs.items():
        signals[origin] = run(on_device(batch, run.model.device))
    student.train(training)
    for term in terms:
        if term.widths is not None:
            _try_heads(term, signals)
            continue
        widths = [_widths(term, pair, signals) for pair in term.pairs]
        if term.projection is not None:
            _check_shared(term, widths)
            objective.project(term, widths)
        elif term.loss.same_width or SIGNAL_KINDS[term.loss.student_kinds[0]].rows == "task":
            _check_equal(term, widths)


def _try_heads(term: Term, signals: Mapping[Origin, Signals]) -> None:
    """Compute a loss that may compare head by head, as pruning leaves blocks with other numbers of heads."""
    for theirs, ours in term.pairs:
        student = signals[term.student][Signal.at(term.loss.student_kinds[0], parts(ours)[0])]
        teacher = signals[term.teacher][Signal.at(term.loss.teacher_kinds[0], parts(theirs)[0])]
        try:
            term.loss(student.values, teacher.values, "categorical")
        except ModelError as error:
            raise ModelError(f"{term.name}, teacher block {theirs}, student block {ours}: {error}") from None


def shape_on(model: Any, collator: Collator, losses: Sequence[Weighted]) -> Shape:
    """Return depth and width of a model; of an adapted model, the last layer that it names on an example.

    Raises:
        ModelError: losses compare layers, and the adapted model names none.
    """
    if not isinstance(model, Adapted):
        return config_shape(model.config)
    with torch.no_grad():
        depth = model.eval().depth(on_device(collator([0]), model.device))
    for weighted in losses:
        kind, *_ = weighted.loss.student_kinds
        if not depth and SIGNAL_KINDS[kind].placed == "layers" and not weighted.modules:
            raise ModelError(
                f"the adaptor of the {type(model.model).__name__} names no layers, but"
                f" {type(weighted.loss).__name__} compares {kind}; return them as `{kind}.1` and so on"
            )
    return depth, None


def _widths(term: Term, pair: tuple[Places, Places], signals: Mapping[Origin, Signals]) -> tuple[int, int]:
    """Return the teacher's width and the student's for a pair of a term."""
    sides = (term.teacher, term.loss.teacher_kinds[0]), (term.student, term.loss.student_kinds[0])
    theirs, ours = (
        signals[origin][Signal.at(kind, parts(place)[0])].values.shape[-1]
        for (origin, kind), place in zip(sides, pair, strict=True)
    )
    return theirs, ours


def _check_shared(term: Term, widths: Sequence[tuple[int, int]]) -> None:
    assert term.projection is not None
    if term.projection.shared and len(set(widths)) > 1:
        raise ModelError(
            f"{term.name}: a shared `projection` maps one width to one width, found"
            f" {listed(f'{ours} to {theirs}' for theirs, ours in widths)}; remove `shared`"
        )


def _check_equal(term: Term, widths: Sequence[tuple[int, int]]) -> None:
    for (theirs, ours), pair in zip(widths, term.pairs, strict=True):
        if term.entries is None and theirs != ours:
            remedy = "both need the same outputs"
            if term.loss.same_width:
                remedy = "give a `projection`, such as {kind: linear}"
            places = "" if pair[0] is None else f" {pair[0]} and {pair[1]}"
            raise ModelError(
                f"{term.name}{places}: the teacher's rows are {theirs} wide, the student's {ours}; {remedy}"
            )
