"""The loss that a model is trained on: a weighted sum of loss terms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kdpipe.anatomy.signals import SIGNAL_KINDS, Averaged, Place, Positions, Signal
from kdpipe.errors import ModelError
from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.seeds import PROJECTION, draw_seed
from kdpipe.signals.capture import STUDENT, TEACHER, Origin, Request, Signals
from kdpipe.signals.rows import Rows
from kdpipe.training.weights import WeightSchedule, weight_at

ACTIVATIONS = {"linear": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}
# From the first positions that a term reads, rows at all later positions can be made.
WIDEST: Sequence[Positions] = ("tokens", "spans", "labelled", "examples")


@dataclass(frozen=True)
class Projection:
    """Maps the student's rows to the teacher's width (`proj` of TextBrewer's matches).

    Args:
        kind: linear, or linear followed by relu or tanh.
        shared: all pairs of layers share one map, instead of a map for each pair.
        learning_rate: the learning rate of the maps; None for the learning rate of the training.
    """

    kind: Literal["linear", "relu", "tanh"] = "linear"
    shared: bool = False
    learning_rate: float | None = None


@dataclass(frozen=True)
class Term:
    """A loss with its place in the sum.

    Args:
        name: its name in the log.
        loss: the loss.
        weight: its factor, or how the factor changes over the training.
        positions: the rows that count: one per example, all real tokens, tokens with a label, or start and
            end of the answer in each example.
        pairs: the (teacher, student) places that are compared; the term is the mean over the pairs.
        projection: maps the student's rows to the teacher's width.
        widths: the teacher's width and the student's, which a projection needs.
        entries: the number of entries of a row that are compared, the first entries; None for all. Language
            models may have more outputs than their tokenizer has entries, and not the same number.
        teacher: the run that gives the target.
        student: the run that is compared with the target.
    """

    name: str
    loss: Loss
    weight: float | WeightSchedule = 1.0
    positions: Positions = "examples"
    pairs: Sequence[tuple[Place, Place]] = ((None, None),)
    projection: Projection | None = None
    widths: tuple[int, int] | None = None
    entries: int | None = None
    teacher: Origin = TEACHER
    student: Origin = STUDENT

    @property
    def averaged_over(self) -> Averaged:
        """The sum of the term is divided by the number of these."""
        return self.positions if self.loss.averaged_over == "rows" else self.loss.averaged_over

    def reads(self) -> Iterator[tuple[Origin, Signal]]:
        """Yield the signals that the loss reads, each after its origin."""
        for teacher, student in self.pairs:
            yield from ((self.teacher, Signal(kind, teacher)) for kind in self.loss.teacher_kinds)
            yield from ((self.student, Signal(kind, student)) for kind in self.loss.student_kinds)


class Objective(nn.Module):
    """A weighted sum of loss terms, with the projections that they train.

    Args:
        terms: the terms; a term of weight 0 is left out.
        kind: the meaning of the task's logits.
        seed: seed of the projections' weights.

    Attributes:
        requests: the signals that terms read of the student, and of each other run of a model.
    """

    def __init__(self, terms: Sequence[Term], kind: OutputKind, seed: int = 0) -> None:
        super().__init__()
        self.terms = [term for term in terms if term.weight]
        self.kind = kind
        self.requests = _requests(self.terms)
        self.projections = nn.ModuleDict()
        for index, term in enumerate(self.terms):
            if term.projection is not None:
                self.projections[term.name] = _projections(term, draw_seed(seed, PROJECTION, index))

    @property
    def teachers(self) -> dict[Origin, Request]:
        """The signals that terms read of each teacher."""
        return {source: request for source, request in self.requests.items() if source.teacher}

    def weights(self, share: float) -> dict[str, float]:
        """Return the weight of each term after a share of the training's steps, by name."""
        return {term.name: weight_at(term.weight, share) for term in self.terms}

    @property
    def scheduled(self) -> list[str]:
        """The names of the terms whose weights change."""
        return [term.name for term in self.terms if isinstance(term.weight, WeightSchedule)]

    def forward(self, signals: Mapping[Origin, Signals], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the unweighted sum of each term over its rows or examples, by name."""
        return {term.name: self._sum(term, signals, batch) for term in self.terms}

    def _sum(self, term: Term, signals: Mapping[Origin, Signals], batch: Mapping[str, Any]) -> Tensor:
        total = torch.zeros((), device=batch["input_ids"].device)
        for index, (theirs, ours) in enumerate(term.pairs):
            student = _read(term, term.loss.student_kinds, signals[term.student], ours, batch)
            teacher = _read(term, term.loss.teacher_kinds, signals.get(term.teacher, {}), theirs, batch)
            student = [self._projected(term, index, rows) for rows in student]
            if term.loss.same_width:
                _check_width(term.name, *student, *teacher)
            target = _side(term.loss, teacher) if teacher else batch.get("labels")
            total = total + term.loss(_side(term.loss, student), target, self.kind).sum()
        return total / len(term.pairs)

    def _projected(self, term: Term, pair: int, rows: Rows) -> Rows:
        """Return the student's rows for a pair, mapped to the teacher's width."""
        if term.name not in self.projections:
            return rows
        maps: Any = self.projections[term.name]
        return replace(rows, values=maps[min(pair, len(maps) - 1)](rows.values))


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


def _read(
    term: Term, kinds: Sequence[str], signals: Signals, place: Place, batch: Mapping[str, Any]
) -> list[Rows]:
    """Return the rows of one side that a loss compares, by kind."""
    sides = [signals[Signal(kind, place)].at(term.positions, batch) for kind in kinds]
    if term.entries is None:
        return sides
    return [replace(rows, values=rows.values[:, : term.entries]) for rows in sides]


def _check_width(name: str, student: Rows, teacher: Rows) -> None:
    shapes = tuple(student.values.shape), tuple(teacher.values.shape)
    if shapes[0] != shapes[1]:
        raise ModelError(
            f"{name}: student rows {shapes[0]}, teacher rows {shapes[1]}; "
            "both must see the same tokens, and different widths need a `projection`"
        )


def _side(loss: Loss, sides: Sequence[Rows]) -> Any:
    """Return one side as a loss takes it: values or rows, for several kinds a tuple."""
    taken = tuple(rows.values if loss.compares == "rows" else rows for rows in sides)
    return taken if len(taken) > 1 else taken[0]


def _projections(term: Term, seed: int) -> nn.ModuleList:
    assert term.projection is not None
    assert term.widths is not None
    teacher_width, student_width = term.widths
    activation = ACTIVATIONS[term.projection.kind]
    generator = torch.Generator().manual_seed(seed)
    maps = nn.ModuleList()
    for _ in range(1 if term.projection.shared else len(term.pairs)):
        linear = nn.Linear(student_width, teacher_width)
        nn.init.normal_(linear.weight, std=0.02, generator=generator)
        nn.init.zeros_(linear.bias)
        maps.append(nn.Sequential(linear, activation()))
    return maps
