"""A run of the models of a training on one example, which tells widths and heads that no config tells."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from kdpipe.anatomy.layers import parts
from kdpipe.anatomy.signals import SIGNAL_KINDS, Signal
from kdpipe.data.batches import Collator, encoded_for, on_device
from kdpipe.errors import ModelError, listed
from kdpipe.models.family import config_shape
from kdpipe.signals.adapted import Adapted
from kdpipe.signals.capture import BASE, STUDENT, Origin, Signals, Teacher
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
    terms = [term for term in objective.terms if term.loss.teacher_kinds]
    unknown = [term for term in terms if term.widths is None]
    by_head = [term for term in terms if term.loss.same_heads or term.loss.divided_by]
    if not unknown and not by_head:
        return
    batch, training = collator(collator.examples[:1]), student.training
    models = {**{origin: teacher.model for origin, teacher in teachers.items()}, STUDENT: student.eval()}
    signals: dict[Origin, Signals] = dict(batch.get("signals", {}))
    for origin, request in objective.requests.items():
        # A counterfactual run gives as wide signals as a base run. Models may be on different devices yet.
        model = models.get(origin._replace(run=BASE))
        if model is not None and request.signals:
            found = Teacher(model, request)(on_device(encoded_for(batch, origin), model.device))
            signals[origin] = {signal: rows.to("cpu") for signal, rows in found.items()}
    student.train(training)
    for term in unknown:
        widths = [width for pair in range(len(term.pairs)) for width in _widths(term, pair, signals)]
        if term.projection is not None:
            _check_shared(term, widths)
            objective.project(term, [(theirs, ours) for _, theirs, ours in widths])
        elif _needs_equal(term):
            _check_equal(term, widths)
    for term in by_head:
        _try_heads(objective, term, signals, batch)


def _try_heads(
    objective: Objective, term: Term, signals: Mapping[Origin, Signals], batch: Mapping[str, Any]
) -> None:
    """Compute a loss that goes by heads, as pruning leaves blocks with other numbers of heads."""
    for pair, (theirs, ours) in enumerate(term.pairs):
        try:
            objective.compare(term, pair, signals, batch)
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


def _widths(term: Term, pair: int, signals: Mapping[Origin, Signals]) -> Iterator[tuple[str, int, int]]:
    """Yield for a pair, or each block of a student, its places, a teacher's width and the student's."""
    theirs, ours = map(parts, term.pairs[pair])
    for origin in term.teachers:
        teacher = _width(signals[origin], term.taught(pair)[0])
        for place in ours if term.loss.states == "all" else ours[:1]:
            compared = "" if place is None else f" {theirs[0]} and {place}"
            student = Signal.at(term.loss.student_kinds[0], place)
            yield compared, teacher, _width(signals[term.student], student)


def _width(signals: Signals, signal: Signal) -> int:
    return signals[signal].values.shape[-1]


def _check_shared(term: Term, widths: Sequence[tuple[str, int, int]]) -> None:
    assert term.projection is not None
    if term.projection.shared and len({width[1:] for width in widths}) > 1:
        raise ModelError(
            f"{term.name}: a shared `projection` maps one width to one width, found"
            f" {listed(f'{ours} to {theirs}' for _, theirs, ours in widths)}; remove `shared`"
        )


def _needs_equal(term: Term) -> bool:
    """Tell whether rows of teacher and student are to be equally wide; the k largest outputs are not."""
    (kind, *_), (other, *_) = term.loss.student_kinds, term.loss.teacher_kinds
    return term.loss.same_width or (SIGNAL_KINDS[kind].rows == "task" and kind == other and not term.entries)


def _check_equal(term: Term, widths: Sequence[tuple[str, int, int]]) -> None:
    for compared, theirs, ours in widths:
        if theirs != ours:
            remedy = "both need the same outputs"
            if term.loss.same_width:
                remedy = "give a `projection`, such as {kind: linear}"
            raise ModelError(
                f"{term.name}{compared}: the teacher's rows are {theirs} wide, the student's {ours}; {remedy}"
            )
