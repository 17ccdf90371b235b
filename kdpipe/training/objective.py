"""The loss that a model is trained on: a weighted sum of loss terms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kdpipe.data.batches import STAND_IN
from kdpipe.errors import ModelError
from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.seeds import PROJECTION, draw_seed
from kdpipe.signals.capture import SPANS, Request, Signals
from kdpipe.signals.rows import pack

Positions = Literal["examples", "all", "labelled", "spans"]
# What the rows of a term are counted by: the batch entry whose length is their number.
COUNTED_BY = {"examples": "input_ids", "all": "token_rows", "labelled": "label_rows"}
ACTIVATIONS = {"linear": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class Projection:
    """Maps the student's hidden states to the teacher's width (`proj` of TextBrewer's matches).

    Args:
        kind: linear, or linear followed by relu or tanh.
        shared: one map for all pairs of layers instead of one each.
        learning_rate: its own learning rate; None for the training's.
    """

    kind: Literal["linear", "relu", "tanh"] = "linear"
    shared: bool = False
    learning_rate: float | None = None


@dataclass(frozen=True)
class Term:
    """A loss with its place in the sum.

    Args:
        name: what it is logged as.
        loss: the loss.
        weight: its factor.
        positions: which rows count: one per example, all real tokens, those with a label, or start and end of
            the answer in each example.
        pairs: for hidden states, the (teacher, student) pairs, whose mean is taken.
        projection: how student states are mapped to the teacher's width.
    """

    name: str
    loss: Loss
    weight: float = 1.0
    positions: Positions = "examples"
    pairs: Sequence[tuple[int, int]] = ()
    projection: Projection | None = None


class Objective(nn.Module):
    """A weighted sum of loss terms, with the projections that they train.

    Args:
        terms: the terms; those of weight 0 are left out.
        kind: what the task's logits mean.
        widths: width of the teacher's and of the student's hidden states, for projections.
        seed: seed of the projections' weights.
        entries: how many outputs of teacher and student are compared, the first ones; None for all. Language
            models may have more than their tokenizer has entries, and each another number.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        kind: OutputKind,
        widths: tuple[int, int] | None = None,
        seed: int = 0,
        entries: int | None = None,
    ) -> None:
        super().__init__()
        self.entries = entries
        self.terms = [term for term in terms if term.weight]
        self.kind = kind
        self.projections = nn.ModuleDict()
        for index, term in enumerate(self.terms):
            if term.projection is not None and widths is not None:
                own_seed = draw_seed(seed, PROJECTION, index)
                self.projections[term.name] = _projections(term, widths, own_seed)

    def student_request(self) -> Request:
        """Return the student's outputs that the terms read."""
        return self._request(self.terms, side=1)

    def teacher_request(self) -> Request:
        """Return the teacher's outputs that the terms read."""
        return self._request([term for term in self.terms if term.loss.needs_teacher], side=0)

    @staticmethod
    def _request(terms: Sequence[Term], side: int) -> Request:
        logits = {term.positions for term in terms if term.loss.signal == "logits"}
        states = {pair[side] for term in terms for pair in term.pairs}
        rows = "token_rows" if "all" in logits else "label_rows" if "labelled" in logits else None
        rows = SPANS if SPANS in logits else rows
        return Request(bool(logits), tuple(sorted(states)), rows)

    def forward(self, student: Signals, teacher: Signals, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the sum over rows of each term, unweighted, by name."""
        sums = {}
        for term in self.terms:
            if term.loss.signal == "logits":
                sums[term.name] = self._logits_term(term, student, teacher, batch).sum()
            else:
                sums[term.name] = self._hidden_term(term, student, teacher, batch)
        return sums

    def _logits_term(
        self, term: Term, student: Signals, teacher: Signals, batch: Mapping[str, Tensor]
    ) -> Tensor:
        rows = _rows_of(student.logits, term, batch)
        if not term.loss.needs_teacher:
            return term.loss(rows, batch["labels"], self.kind)
        target = _rows_of(teacher.logits, term, batch)
        return term.loss(rows[:, : self.entries], target[:, : self.entries], self.kind)

    def _hidden_term(
        self, term: Term, student: Signals, teacher: Signals, batch: Mapping[str, Tensor]
    ) -> Tensor:
        total = torch.zeros((), device=batch["input_ids"].device)
        for index, (teacher_state, student_state) in enumerate(term.pairs):
            rows = _states(student, student_state, term, batch)
            if term.name in self.projections:
                maps = self.projections[term.name]
                rows = maps[min(index, len(maps) - 1)](rows)  # type: ignore[index, arg-type]
            target = _states(teacher, teacher_state, term, batch)
            if rows.shape != target.shape:
                raise ModelError(
                    f"{term.name}: student rows {tuple(rows.shape)}, teacher rows {tuple(target.shape)}; "
                    "both must see the same tokens, and different widths need a `projection`"
                )
            total = total + term.loss(rows, target, self.kind).sum()
        return total / len(term.pairs)


def _rows_of(logits: Tensor | None, term: Term, batch: Mapping[str, Tensor]) -> Tensor:
    assert logits is not None
    if term.positions == "labelled" and len(logits) != len(batch["label_rows"]):
        return logits.index_select(0, batch["label_places"])
    return logits


def _states(signals: Signals, state: int, term: Term, batch: Mapping[str, Tensor]) -> Tensor:
    rows, labelled = signals.hidden_states[state], term.positions == "labelled"
    if rows.dim() == 2:
        return rows.index_select(0, batch["label_places"]) if labelled else rows
    return pack(rows, batch["label_rows" if labelled else "token_rows"])


def _projections(term: Term, widths: tuple[int, int], seed: int) -> nn.ModuleList:
    assert term.projection is not None
    teacher_width, student_width = widths
    activation = ACTIVATIONS[term.projection.kind]
    generator = torch.Generator().manual_seed(seed)
    maps = nn.ModuleList()
    for _ in range(1 if term.projection.shared else len(term.pairs)):
        linear = nn.Linear(student_width, teacher_width)
        nn.init.normal_(linear.weight, std=0.02, generator=generator)
        nn.init.zeros_(linear.bias)
        maps.append(nn.Sequential(linear, activation()))
    return maps


def count_rows(batch: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of rows of a batch by the positions that a term may count; of a stand-in, none."""
    real = STAND_IN not in batch
    counts = {positions: real * len(batch[name]) for positions, name in COUNTED_BY.items() if name in batch}
    return counts | {SPANS: 2 * counts["examples"]}
