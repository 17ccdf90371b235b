"""Losses on the logits of language models, a part of the rows at a time.

The logits of all tokens are larger than all else in a training: a row has as many as the vocabulary has
entries. Here only the logits of a part exist at once, forward and backward, so that their memory does not
grow with the batch. Nothing is computed twice: the gradients of a part are there as soon as its loss is.
Losses that go by all rows of a batch, such as schedules of temperatures, still have all logits at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kdpipe.anatomy.signals import LOGITS, SIGNAL_KINDS, Signal
from kdpipe.signals.capture import Origin, Signals
from kdpipe.signals.outputs import outputs_of
from kdpipe.signals.rows import LateLogits, Rows
from kdpipe.training.objective import Objective, Term

# The bytes of the logits of a part. On a processor they stay in its caches while losses read them.
PROCESSOR_BYTES, GPU_BYTES = 2**25, 2**28


@dataclass(frozen=True)
class Part:
    """Some of the real tokens of a batch, those with labels first.

    Args:
        tokens: their places among the real tokens [N].
        labelled: the labelled tokens among all labelled tokens.
    """

    tokens: Tensor
    labelled: slice

    def of(self, rows: Rows) -> Tensor:
        """Return the values of the rows that belong to it."""
        if rows.positions == "tokens":
            return rows.values.index_select(0, self.tokens)
        return rows.values[self.labelled]

    def put(self, values: Tensor, rows: Rows, into: Tensor) -> None:
        """Put the values of the rows that belong to it into their places."""
        if rows.positions == "tokens":
            into.index_copy_(0, self.tokens, values)
        else:
            into[self.labelled] = values

    def batch(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return what losses read of a batch."""
        labels = batch["labels"][self.labelled]
        places = torch.arange(len(labels), device=labels.device)
        rows = batch["label_rows"][self.labelled]
        return {**batch, "labels": labels, "label_rows": rows, "label_places": places}


def parts_of(batch: Mapping[str, Any], rows: LateLogits) -> Iterator[Part]:
    """Yield parts of the tokens that have logits, at least one part, which may be empty."""
    labelled = batch["label_places"]
    tokens = torch.cat((labelled, batch["other_places"])) if rows.positions == "tokens" else labelled
    memory = GPU_BYTES if tokens.is_cuda else PROCESSOR_BYTES
    size = max(memory // (rows.values.element_size() * rows.entries), 1)
    for start in range(0, max(len(tokens), 1), size):
        first, last = (min(end, len(labelled)) for end in (start, start + size))
        yield Part(tokens[start : start + size], slice(first, last))


def scaled_sum(
    objective: Objective,
    signals: Mapping[Origin, Signals],
    batch: Mapping[str, Any],
    scales: Mapping[str, float],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the sum of all terms, each with its scale, and the sum of each term without it, by name.

    Args:
        objective: the terms.
        signals: the signals of each run of a model, whose logits may be late.
        batch: the batch.
        scales: the factor of each term.
    """
    late = [term for term in objective.terms if _is_late(term, signals)]
    whole = [term for term in objective.terms if term not in late]
    computed = _computed(objective, whole, signals)
    sums = {term.name: objective.sum(term, computed, batch) for term in whole}
    total = torch.zeros((), device=batch["input_ids"].device)
    for name, value in sums.items():
        total = total + scales[name] * value
    for student in dict.fromkeys(term.student for term in late):
        terms = [term for term in late if term.student == student]
        part, found = _in_parts(objective, terms, signals, batch, [scales[term.name] for term in terms])
        total = total + part
        sums |= {term.name: value for term, value in zip(terms, found, strict=True)}
    return total, sums


def _computed(
    objective: Objective, terms: Sequence[Term], signals: Mapping[Origin, Signals]
) -> Mapping[Origin, Signals]:
    """Return signals in which some terms find all logits that they read, and what is made of these."""
    read = dict.fromkeys(origin for term in terms for origin, signal in term.reads() if _of_head(signal))
    late = {origin: signals[origin].get(LOGITS) for origin in read if origin in signals}
    made = {
        origin: outputs_of(logits.computed(logits.values), objective.requests[origin].outputs)
        for origin, logits in late.items()
        if isinstance(logits, LateLogits)
    }
    return {origin: {**found, **made.get(origin, {})} for origin, found in signals.items()}


def _of_head(signal: Signal) -> bool:
    return SIGNAL_KINDS[signal.kind].needs_head


def _is_late(term: Term, signals: Mapping[Origin, Signals]) -> bool:
    """Tell whether a term compares logits that are not computed yet, row by row."""
    read = term.loss.student_kinds == (LOGITS.kind,)
    return read and term.loss.by_row and isinstance(signals[term.student][LOGITS], LateLogits)


def _in_parts(
    objective: Objective,
    terms: Sequence[Term],
    signals: Mapping[Origin, Signals],
    batch: Mapping[str, Any],
    factors: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """Return the sum of terms on one run of the student, with their factors, and the sum of each term [T]."""
    student = terms[0].student
    rows = signals[student][LOGITS]
    assert isinstance(rows, LateLogits)
    # Gradients near 1 are held in half precision.
    largest = max(factors) or 1.0
    scales = [factor / largest for factor in factors]
    teachers = dict.fromkeys(
        teacher for term in terms if term.loss.teacher_kinds for teacher in term.teachers
    )

    def evaluate(states: Tensor, part: Part) -> tuple[Tensor, Tensor]:
        read = {
            origin: _outputs(signals[origin], part, objective.requests[origin].outputs) for origin in teachers
        }
        read[student] = {LOGITS: rows.computed(states)}
        values = part.batch(batch)
        sums = [objective.sum(term, read, values) for term in terms]
        scaled = [scale * value for scale, value in zip(scales, sums, strict=True)]
        return torch.stack(scaled).sum(), torch.stack(sums)

    weights = [weight for weight in rows.weights if weight.requires_grad]
    parts = [*parts_of(batch, rows)]
    total, sums = _InParts.apply(evaluate, parts, rows, rows.values, *weights)  # type: ignore[no-untyped-call]
    return largest * total, sums


def _outputs(signals: Signals, part: Part, wanted: Sequence[Signal]) -> Signals:
    """Return what a teacher's head gives of a part, computed now or stored before."""
    logits = signals.get(LOGITS)
    if isinstance(logits, LateLogits):
        return outputs_of(logits.computed(part.of(logits)), wanted)
    return {signal: replace(signals[signal], values=part.of(signals[signal])) for signal in wanted}


class _InParts(torch.autograd.Function):
    """The sum over the parts of a batch; the gradients of a part are computed on the way forward."""

    @staticmethod
    def forward(
        ctx: Any,
        evaluate: Callable[[Tensor, Part], tuple[Tensor, Tensor]],
        parts: Sequence[Part],
        rows: LateLogits,
        states: Tensor,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        totals: list[tuple[Tensor, Tensor]] = []
        gradients = [torch.zeros_like(tensor) for tensor in (states, *weights)]
        for part in parts:
            piece = part.of(rows).detach().requires_grad_(states.requires_grad)
            with torch.set_grad_enabled(rows.learns):
                loss, sums = evaluate(piece, part)
            totals.append((loss.detach(), sums.detach()))
            if not rows.learns:
                continue
            inputs = [tensor for tensor in (piece, *weights) if tensor.requires_grad]
            new = list(torch.autograd.grad(loss, inputs, materialize_grads=True))
            if piece.requires_grad:
                part.put(new.pop(0), rows, gradients[0])
            for total, gradient in zip(gradients[1:], new, strict=True):
                total += gradient
        ctx.save_for_backward(*gradients)
        total, sums = (torch.stack(each).sum(0) for each in zip(*totals, strict=True))
        ctx.mark_non_differentiable(sums)
        return total, sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, None, *(gradient * each for each in ctx.saved_tensors))
