"""The loss that a model is trained on: a weighted sum of loss terms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kdpipe.anatomy.layers import parts
from kdpipe.anatomy.signals import LOGITS, SIGNAL_KINDS, Averaged, Places, Positions, Signal, counted
from kdpipe.errors import ModelError
from kdpipe.knowledge.rows import ChosenRows
from kdpipe.losses.ensemble import MEAN_LOGITS, Ensemble
from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.seeds import PROJECTION, draw_seed
from kdpipe.signals.capture import COUNTERFACTUAL, NOTHING, STUDENT, TEACHER, Origin, Request, Signals
from kdpipe.signals.rows import Rows
from kdpipe.training.projection import Projection
from kdpipe.training.weights import WeightSchedule, weight_at

# From the first positions that a term reads, rows at all later positions can be made.
WIDEST: Sequence[Positions] = ("tokens", "spans", "labelled", "examples")


@dataclass(frozen=True)
class Term:
    """A loss with its place in the sum.

    Args:
        name: its name in the log.
        loss: the loss.
        weight: its factor, or how the factor changes over the training.
        positions: the rows that count: one per example, all real tokens, tokens with a label, or start and
            end of the answer in each example.
        pairs: the (teacher, student) places that are compared.
        projection: maps the student's rows to the teacher's width.
        widths: the teacher's width and the student's, which a projection needs; None where only a run of the
            models tells them (`kdpipe.training.trial`).
        entries: the number of entries of a row that are compared, the first entries; None for all. Language
            models may have more outputs than their tokenizer has entries, and not the same number.
        teachers: the runs that give the target; of several, the ensemble gives it.
        ensemble: the mean of several teachers.
        student: the run that is compared with the target.
        over_pairs: whether the term is the mean or the sum over the pairs.
        shifted: the teacher's largest logit changes places with the logit of the label.
        ranked: the block of the teacher that ranks the tokens of each pair; () where none does.
        tokens: how many tokens of an example are compared; None for all.
    """

    name: str
    loss: Loss
    weight: float | WeightSchedule = 1.0
    positions: Positions = "examples"
    pairs: Sequence[tuple[Places, Places]] = ((None, None),)
    projection: Projection | None = None
    widths: tuple[int, int] | None = None
    entries: int | None = None
    teachers: Sequence[Origin] = (TEACHER,)
    ensemble: Ensemble = MEAN_LOGITS
    student: Origin = STUDENT
    over_pairs: Literal["mean", "sum"] = "mean"
    shifted: bool = False
    ranked: Sequence[int] = ()
    tokens: int | None = None

    @property
    def key(self) -> str:
        """The name under which modules are kept for the term; names of modules have no dots."""
        return self.name.replace(".", ":")

    @property
    def averaged_over(self) -> Averaged:
        """The sum of the term is divided by the number of these."""
        averaged: Averaged = self.positions if self.loss.averaged_over == "rows" else self.loss.averaged_over
        return averaged if self.tokens is None else counted(averaged, self.loss.student_kinds)

    @property
    def number_of_maps(self) -> int:
        """The number of projections that are not shared: one for each pair, or each block of the student."""
        _, student = self.pairs[0]
        return len(parts(student)) if self.loss.states == "all" else len(self.pairs)

    def reads(self) -> Iterator[tuple[Origin, Signal]]:
        """Yield the signals that the loss reads, each after its origin."""
        for pair, (_, student) in enumerate(self.pairs):
            for signal in self.taught(pair):
                yield from ((origin, signal) for origin in self.teachers)
            yield from ((self.student, signal) for signal in _signals(self.loss.student_kinds, student))

    def taught(self, pair: int) -> list[Signal]:
        """Return the signals that the loss reads of the teacher for one of its pairs."""
        ranked = self.ranked[pair] if self.ranked else 0
        return [
            replace(each, ranked=ranked) for each in _signals(self.loss.teacher_kinds, self.pairs[pair][0])
        ]


class Objective(nn.Module):
    """A weighted sum of loss terms, with the projections that they train.

    Args:
        terms: the terms; a term of weight 0 is left out.
        kind: the meaning of the task's logits.
        seed: seed of the projections' weights.

    Attributes:
        requests: the signals that terms read of the student, and of each other run of a model.
        runs: the signals that terms read of the student, by run.
    """

    def __init__(self, terms: Sequence[Term], kind: OutputKind, seed: int = 0) -> None:
        super().__init__()
        self.terms = [term for term in terms if term.weight]
        self.kind = kind
        self.seed = seed
        self.requests = _requests(self.terms)
        self.runs = {origin.run: request for origin, request in self.requests.items() if not origin.teacher}
        # What losses carry from step to step is saved with the weights.
        self.states = nn.ModuleDict()
        self.projections = nn.ModuleDict()
        for term in self.terms:
            if term.loss.states == "all":
                [(teacher, student)] = term.pairs
                state = term.loss.begin(len(parts(teacher)), len(parts(student)))
                self.states.update({} if state is None else {term.key: state})
            if term.projection is not None and term.widths is not None:
                self.project(term, [term.widths] * term.number_of_maps)

    def project(self, term: Term, widths: Sequence[tuple[int, int]]) -> None:
        """Give a term its projections, by the teacher's width and the student's of each of them."""
        assert term.projection is not None
        seed = draw_seed(self.seed, PROJECTION, self.terms.index(term))
        self.projections[term.key] = term.projection.maps(widths, seed)

    @property
    def teachers(self) -> dict[Origin, Request]:
        """The signals that terms read of the base run of each teacher."""
        names = dict.fromkeys(origin.teacher for origin in self.requests if origin.teacher)
        return {Origin(name): self.requests.get(Origin(name), NOTHING) for name in names}

    @property
    def counterfactual(self) -> dict[Origin, Request]:
        """The signals that terms read of the counterfactual run of each teacher."""
        return {
            Origin(origin.teacher): request
            for origin, request in self.requests.items()
            if origin.teacher and origin.run == COUNTERFACTUAL
        }

    def reads_head(self, origin: Origin) -> bool:
        """Tell whether a term reads what the head of a teacher gives, in any run."""
        runs = self.teachers[origin], self.counterfactual.get(origin)
        return any(run is not None and run.needs_head for run in runs)

    @property
    def tokens(self) -> int | None:
        """How many tokens of an example are compared by the terms for which some are chosen."""
        return next((term.tokens for term in self.terms if term.tokens is not None), None)

    def weights(self, share: float) -> dict[str, float]:
        """Return the weight of each term after a share of the training's steps, by name."""
        return {term.name: weight_at(term.weight, share) for term in self.terms}

    @property
    def scheduled(self) -> list[str]:
        """The names of the terms whose weights change."""
        return [term.name for term in self.terms if isinstance(term.weight, WeightSchedule)]

    def logged(self) -> dict[str, Tensor]:
        """Return what losses tell of themselves, such as their temperatures, by what and of which term."""
        numbers = {term.name: term.loss.logged() for term in self.terms}
        return {f"{name} of {term}": value for term, each in numbers.items() for name, value in each.items()}

    def sum(self, term: Term, signals: Mapping[Origin, Signals], batch: Mapping[str, Any]) -> Tensor:
        """Return the unweighted sum of a term over its rows or examples."""
        total = torch.zeros((), device=batch["input_ids"].device)
        for pair in range(len(term.pairs)):
            total = total + self.compare(term, pair, signals, batch)
        return total / len(term.pairs) if term.over_pairs == "mean" else total

    def compare(
        self, term: Term, pair: int, signals: Mapping[Origin, Signals], batch: Mapping[str, Any]
    ) -> Tensor:
        """Return the sum of a term's loss over the rows or examples of one of its pairs."""
        ours = [*_signals(term.loss.student_kinds, term.pairs[pair][1])]
        student = _read(term, ours, signals[term.student], batch)
        teacher = self._target(term, signals, term.taught(pair), batch)
        chosen = teacher[0] if teacher and isinstance(teacher[0], ChosenRows) else None
        if chosen:
            student = [chosen.of(rows) for rows in student]
        student = [self._projected(term, pair, state, rows) for state, rows in enumerate(student)]
        if chosen:
            student, teacher = ([chosen.weighed(rows) for rows in side] for side in (student, teacher))
        for rows in student if term.loss.same_width else ():
            _check_width(term.name, rows, teacher[0])
        if term.shifted:
            teacher = [_shifted(rows, batch["labels"]) for rows in teacher]
        target = _side(term.loss, teacher) if teacher else batch.get("labels")
        return term.loss(_side(term.loss, student), target, self.kind).sum()

    def _target(
        self,
        term: Term,
        signals: Mapping[Origin, Signals],
        wanted: Sequence[Signal],
        batch: Mapping[str, Any],
    ) -> list[Rows]:
        """Return the teacher's rows, by kind and state; of several teachers, the rows of their logits."""
        sides = [_read(term, wanted, signals.get(origin, {}), batch) for origin in term.teachers]
        if len(sides) == 1 or not wanted:
            return sides[0]
        temperature = term.ensemble.temperature_of(term.loss)
        logits = term.ensemble([rows.values for (rows,) in sides], self.kind, temperature)
        return [replace(sides[0][0], values=logits)]

    def _projected(self, term: Term, pair: int, state: int, rows: Rows) -> Rows:
        """Return the student's rows of a state of a pair, mapped to the teacher's width."""
        if term.key not in self.projections:
            return rows
        maps: Any = self.projections[term.key]
        number = state if term.loss.states == "all" else pair
        return replace(rows, values=maps[min(number, len(maps) - 1)](rows.values))


def _requests(terms: Sequence[Term]) -> dict[Origin, Request]:
    signals: dict[Origin, set[Signal]] = {STUDENT: set()}
    positions: dict[Origin, set[Positions]] = {}
    for term in terms:
        for source, signal in term.reads():
            signals.setdefault(source, set()).add(signal)
            if SIGNAL_KINDS[signal.kind].rows == "task":
                positions.setdefault(source, set()).add(term.positions)
    return {
        source: Request(tuple(sorted(wanted)), min(positions.get(source, {"examples"}), key=WIDEST.index))
        for source, wanted in signals.items()
    }


def _signals(kinds: Sequence[str], place: Places) -> Iterator[Signal]:
    """Yield the signals that one side of a pair consists of."""
    yield from (Signal.at(kind, part) for kind in kinds for part in parts(place))


def _read(term: Term, wanted: Sequence[Signal], signals: Signals, batch: Mapping[str, Any]) -> list[Rows]:
    """Return the rows of one side that a loss compares, by kind and state."""
    sides = [signals[signal].at(term.positions, batch) for signal in wanted]
    if term.entries is None or LOGITS not in wanted:
        return sides
    return [replace(rows, values=rows.values[:, : term.entries]) for rows in sides]


def _shifted(logits: Rows, labels: Tensor) -> Rows:
    """Return logits [N, C] whose largest has changed places with the label's [N]; a label below 0 is none."""
    rows = torch.arange(len(labels), device=labels.device)
    largest = logits.values.argmax(-1)
    label = labels.where(labels >= 0, largest)
    values = logits.values.clone()
    values[rows, largest], values[rows, label] = logits.values[rows, label], logits.values[rows, largest]
    return replace(logits, values=values)


def _check_width(name: str, student: Rows, teacher: Rows) -> None:
    shapes = tuple(student.values.shape), tuple(teacher.values.shape)
    if shapes[0] != shapes[1]:
        raise ModelError(
            f"{name}: student rows {shapes[0]}, teacher rows {shapes[1]}; "
            "both must see the same tokens, and different widths need a `projection`"
        )


def _side(loss: Loss, sides: Sequence[Rows]) -> Any:
    """Return one side as a loss takes it: values or rows, a tuple of several kinds or states."""
    taken = tuple(rows.values if loss.compares == "rows" else rows for rows in sides)
    if loss.states == "two" and len(taken) == 1:
        return taken * 2
    return taken if len(taken) > 1 or loss.states == "all" else taken[0]
