"""The losses of a training, and what they compare in teacher and student."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kdpipe.anatomy.knowledge import Selection, top_pairs, wrong_selection
from kdpipe.anatomy.layers import Layer, match_layers
from kdpipe.anatomy.signals import SIGNAL_KINDS, Places, Positions, first_layer
from kdpipe.errors import KdpipeError, listed, suggest
from kdpipe.evaluation.task import Task
from kdpipe.losses.ensemble import MEAN_LOGITS, Ensemble
from kdpipe.losses.hard import HardLoss
from kdpipe.losses.loss import Loss
from kdpipe.losses.top_k import TopKLoss
from kdpipe.signals.capture import BASE, COUNTERFACTUAL, Origin
from kdpipe.training.objective import Objective, Term
from kdpipe.training.projection import Projection
from kdpipe.training.weights import WeightSchedule

Shape = tuple[int, int | None]
# Masked tokens, and the first pieces of words with tags, have a label.
POSITIONS: dict[str, Positions] = {"all": "tokens", "masked": "labelled"}


@dataclass(frozen=True)
class Weighted:
    """A loss with its weight, and what it compares.

    Args:
        loss: the loss.
        weight: its factor in the sum, or how the factor changes; a loss of weight 0 is not computed.
        layers: (teacher, student) pairs of layers, or the name of a map (`kdpipe.anatomy.layers`), for losses
            on signals of layers; a side may be two layers for losses on two states.
        modules: (teacher, student) pairs of names of modules in the bodies, whose outputs a loss on hidden
            states compares in place of `layers`.
        positions: `all` real tokens, or the `masked` tokens, which have a label; by default `masked` for
            losses on logits, and `all` for other losses.
        projection: maps the student's states to the teacher's width.
        name: its name in the log; by default the name of its class.
        over_pairs: whether the loss is the mean or the sum over its pairs of layers or modules.
        top_k: the number of the teacher's largest logits that are compared, all others counting as one.
        probability_shift: the teacher's largest logit changes places with the logit of the label.
        teacher: the name of the teacher that it reads; "" for the only teacher, or the mean of all.
        run: the run of teacher and student that is compared; a `counterfactual` run needs an interchange.
    """

    loss: Loss
    weight: float | WeightSchedule = 1.0
    layers: str | Sequence[tuple[Layer, Layer]] = "last"
    modules: Sequence[tuple[str, str]] = ()
    positions: Literal["all", "masked"] | None = None
    projection: Projection | None = None
    name: str = ""
    over_pairs: Literal["mean", "sum"] = "mean"
    top_k: int | None = None
    probability_shift: bool = False
    teacher: str = ""
    run: Literal["base", "counterfactual"] = "base"

    @property
    def reads_states(self) -> bool:
        """Whether it compares what the bodies of the models give."""
        return bool(self.loss.teacher_kinds) and not SIGNAL_KINDS[self.loss.student_kinds[0]].needs_head

    def pairs(self, teacher_depth: int, student_depth: int) -> Sequence[tuple[Places, Places]]:
        """Return the (teacher, student) places that are compared."""
        kinds, states = self.loss.student_kinds, self.loss.states
        if self.modules:
            return tuple((theirs, ours) for theirs, ours in self.modules)
        if SIGNAL_KINDS[kinds[0]].placed == "layers":
            return match_layers(self.layers, teacher_depth, student_depth, first_layer(kinds), states)
        return ((self.top_k, None),)


def build_objective(
    losses: Sequence[Weighted],
    task: type[Task],
    teachers: Mapping[str, Shape],
    student: Shape,
    seed: int,
    entries: int | None = None,
    ensemble: Ensemble = MEAN_LOGITS,
    prefix: str = "",
    selection: Selection | None = None,
) -> Objective:
    """Return the weighted sum of losses.

    Args:
        losses: the losses.
        task: the dataset's task.
        teachers: depth and width of each teacher, by its name; no width where only a run tells it.
        student: its depth and width.
        seed: seed of projections.
        entries: number of entries of the tokenizer; other tasks than language modelling do not need it.
        ensemble: how losses on logits read several teachers as one; by default their mean logits.
        prefix: what the names of the terms begin with.
        selection: how much of the teachers' states is compared; None for all.

    Raises:
        KdpipeError: a loss names no teacher, or reads of several what has no mean, or no loss reads one.
    """
    names = Counter[str]()
    terms, pairs = [], 0
    for weighted in losses:
        name = f"{prefix}{weighted.name or type(weighted.loss).__name__}"
        name += f"_{weighted.run}" if weighted.run != BASE else ""
        names[name] += 1
        numbered = name if names[name] == 1 else f"{name}_{names[name]}"
        read = _teachers_of(weighted, teachers, ensemble)
        shapes = teachers[read[0]] if read else student, student
        term = _term(numbered, weighted, task, shapes, entries if task.masked else None)
        if selection and weighted.weight and weighted.reads_states:
            pairs = max(pairs, len(term.pairs))
            term = _selected(term, weighted, selection, *(depth for depth, _ in shapes))
        teaching = tuple(Origin(teacher, weighted.run) for teacher in read) or term.teachers
        terms.append(replace(term, teachers=teaching, student=Origin(run=weighted.run), ensemble=ensemble))
    if pairs and selection and (selection.amount.layers or 0) > pairs:
        what = f"the losses compare at most {pairs} pairs of layers, found {selection.amount.layers}"
        raise KdpipeError(f"knowledge: {what}")
    objective = Objective(terms, task.kind, seed)
    read_names = {origin.teacher for origin in objective.requests}
    unread = [name for name in teachers if len(teachers) > 1 and name not in read_names]
    if unread:
        raise KdpipeError(f"teacher: no loss with a weight reads {listed(map(repr, unread))}; leave it out")
    return objective


def hard_term(task: type[Task], prefix: str = "") -> Term:
    """Return the term of training with labels alone; its name begins with a prefix."""
    return Term(f"{prefix}hard", HardLoss(), positions=task.positions)


def _selected(term: Term, weighted: Weighted, selection: Selection, teacher: int, student: int) -> Term:
    """Return a term that compares what a selection takes of the states of models of some depths."""
    if wrong := wrong_selection(selection, weighted.loss, bool(weighted.modules), weighted.positions):
        raise KdpipeError(f"{term.name}: {wrong}")
    pairs = top_pairs(term.pairs, selection.amount.layers)
    ranked = [selection.ranking(pair, teacher, student) for pair in pairs]
    return replace(term, pairs=pairs, ranked=ranked, tokens=selection.amount.tokens)


def _teachers_of(weighted: Weighted, teachers: Mapping[str, Shape], ensemble: Ensemble) -> Sequence[str]:
    """Return the names of the teachers that a loss reads."""
    kinds, name = weighted.loss.teacher_kinds, type(weighted.loss).__name__
    if weighted.teacher and not kinds:
        raise KdpipeError(f"{name}: reads no teacher, found {weighted.teacher!r}; leave it out")
    if weighted.run == COUNTERFACTUAL and not kinds:
        raise KdpipeError(f"{name}: compares with labels, which a counterfactual run does not have")
    if weighted.teacher and weighted.teacher not in teachers:
        raise KdpipeError(f"{name}: no teacher {weighted.teacher!r}; {suggest(weighted.teacher, teachers)}")
    if weighted.teacher or len(teachers) == 1:
        return [weighted.teacher or next(iter(teachers))]
    if kinds and (kinds != ("logits",) or weighted.top_k):
        raise KdpipeError(f"{name}: reads one teacher; give `teacher`, one of {listed(map(repr, teachers))}")
    if kinds and ensemble.weights and len(ensemble.weights) != len(teachers):
        found = len(ensemble.weights)
        raise KdpipeError(f"ensemble: expected {len(teachers)} weights, one each, found {found}")
    if kinds:
        ensemble.temperature_of(weighted.loss)
    return [*teachers]


def _term(
    name: str,
    weighted: Weighted,
    task: type[Task],
    shapes: tuple[Shape, Shape],
    entries: int | None,
) -> Term:
    (teacher_depth, teacher_width), (depth, width) = shapes
    loss = weighted.loss
    outputs = any(SIGNAL_KINDS[kind].rows == "task" for kind in loss.student_kinds)
    chosen = None if outputs and task.positions != "labelled" else weighted.positions
    return Term(
        name,
        TopKLoss(loss) if weighted.top_k else loss,
        weighted.weight,
        POSITIONS[chosen] if chosen else task.positions if outputs else "tokens",
        weighted.pairs(teacher_depth, depth),
        weighted.projection,
        (teacher_width, width) if teacher_width and width and not weighted.modules else None,
        entries if outputs and loss.teacher_kinds else None,
        over_pairs=weighted.over_pairs,
        shifted=weighted.probability_shift,
    )
