"""The base run of a model, and its counterfactual run: the same text with activations of another text.

The source run ends where it is read, and the counterfactual run begins where the base run is written to. In a
training, the two runs have the same dropout below the site.

References:
    Wu et al. 2022, Causal Distillation for Language Models (arXiv 2112.02505); Geiger et al. 2022, Inducing
    Causal Structure for Interpretable Neural Networks (arXiv 2112.00826), where both sites are one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from kdpipe.anatomy.alignments import PASSES, Alignment, At, Pair, Read, Site
from kdpipe.anatomy.signals import SIGNAL_KINDS, Signal
from kdpipe.data.batches import EXCHANGE
from kdpipe.interchange.sites import (
    Point,
    first_of,
    points_of,
    run_until_read,
    starting_at,
    watching,
    with_first,
)
from kdpipe.models.family import family_of
from kdpipe.signals.bodies import ReachedError, run_body
from kdpipe.signals.capture import BASE, COUNTERFACTUAL, NOTHING, Request, Signals, Teacher, capture


@dataclass(frozen=True)
class Interchange:
    """What is swapped.

    Args:
        alignment: the sites of teacher and student.
        read: where the source is read, `shifted` a block below the site.
    """

    alignment: Alignment
    read: Read = "aligned"

    def pair(self, batch: Mapping[str, Any]) -> Pair:
        """Return the pair of sites of a batch."""
        entry, alternative = map(int, batch[EXCHANGE]["choice"])
        return self.alignment[entry][alternative]


class TeacherOfBoth(Teacher):
    """A frozen model whose base run and counterfactual run give signals.

    Args:
        model: the model, in evaluation mode.
        base: the signals that the loss terms read of the base run.
        counterfactual: the signals that they read of the counterfactual run.
        interchange: what is swapped.
    """

    passes = PASSES

    def __init__(self, model: Any, base: Request, counterfactual: Request, interchange: Interchange) -> None:
        super().__init__(model, base)
        self.requests = {BASE: base, COUNTERFACTUAL: counterfactual}
        self.interchange = interchange

    @torch.no_grad()
    def runs(self, batch: Mapping[str, Any]) -> dict[str, Signals]:
        pair = self.interchange.pair(batch)
        return both_runs(self.model, batch, self.requests, pair.teacher, pair.at, self.interchange.read)


def teacher_of(
    model: Any, base: Request, counterfactual: Request | None = None, interchange: Interchange | None = None
) -> Teacher:
    """Return a teacher whose base run, and maybe whose counterfactual run, gives signals."""
    if counterfactual is None:
        return Teacher(model, base)
    assert interchange is not None
    return TeacherOfBoth(model, base, counterfactual, interchange)


def student_runs(
    model: Any, batch: Mapping[str, Any], requests: Mapping[str, Request], interchange: Interchange | None
) -> dict[str, Signals]:
    """Return the signals of the runs of a student, as the loss terms read them by run."""
    if COUNTERFACTUAL not in requests:
        return {BASE: capture(model, batch, requests[BASE], late=True)}
    assert interchange is not None
    pair = interchange.pair(batch)
    return both_runs(model, batch, requests, pair.student, pair.at, interchange.read)


def both_runs(
    model: Any,
    batch: Mapping[str, Any],
    requests: Mapping[str, Request],
    site: Site,
    at: At,
    read: Read,
) -> dict[str, Signals]:
    """Return the signals of the base run and of the counterfactual run.

    Args:
        model: a transformers model of a family in the catalog.
        batch: as of `kdpipe.signals.capture.capture`, with the exchange of `kdpipe.interchange.batches`.
        requests: the signals that are captured, by run.
        site: what is swapped in the model.
        at: what of the blocks is swapped.
        read: where the source is read.
    """
    base, counterfactual = requests.get(BASE, NOTHING), requests[COUNTERFACTUAL]
    exchange = batch[EXCHANGE]
    if "mixed" in exchange:
        signals = {BASE: capture(model, batch, base, late=True)} if base.signals else {}
        mixed = {**batch, "input_ids": exchange["mixed"]}
        return {**signals, COUNTERFACTUAL: capture(model, mixed, counterfactual, late=True)}
    swap = Swap(model, points_of(model, site, at), batch)
    below = tuple(signal for signal in counterfactual.inner if swap.is_below(signal))
    found, given = swap.run_base(replace(base, signals=tuple(sorted({*base.signals, *below}))))
    rows = swap.read_source(read)
    above = tuple(signal for signal in counterfactual.signals if signal not in below)
    intervened = swap.run_on(given, rows, replace(counterfactual, signals=above))
    intervened |= {signal: found[signal] for signal in below}
    for signal in set(below) - {*base.signals}:
        del found[signal]
    return {BASE: found, COUNTERFACTUAL: intervened}


class Swap:
    """The three runs of a model on a batch.

    Args:
        model: the model.
        points: where activations are swapped.
        batch: the batch.
    """

    def __init__(self, model: Any, points: list[Point], batch: Mapping[str, Any]) -> None:
        self.model, self.points, self.batch = model, points, batch
        self.blocks = family_of(model).blocks(model.base_model)
        first = points[0]
        self.at_output = first.module is self.blocks[first.block]
        # The first block that runs once more: what a block returns is replaced without it.
        self.start = first.block + 1 if self.at_output else first.block

    @cached_property
    def _inputs(self) -> dict[str, Tensor]:
        return self._inputs_of(self.batch)

    def _inputs_of(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        return {name: batch[name] for name in family_of(self.model).inputs if name in batch}

    def is_below(self, signal: Signal) -> bool:
        """Tell whether a signal of the body comes before all activations that are swapped."""
        if SIGNAL_KINDS[signal.kind].placed == "layers":
            first = SIGNAL_KINDS[signal.kind].first
            return int(signal.place or 0) - first < self.start
        return signal.place in self._modules_below

    @cached_property
    def _modules_below(self) -> set[str]:
        """The names of the modules that run before the site, if a body lists its modules as they run."""
        names = [name for name, _ in self.model.base_model.named_modules()]
        blocks = [f"{family_of(self.model).block_list}.{number}." for number in range(len(self.blocks))]
        first = next(place for place, name in enumerate(names) if f"{name}." == blocks[0])
        before = {name for name in names[:first] if not blocks[0].startswith(f"{name}.")}
        inside = {name for name in names if f"{name}.".startswith(tuple(blocks[: self.start]))}
        # What the last of the blocks below returns is what is replaced.
        return before | inside - ({blocks[self.start - 1][:-1]} if self.at_output else set())

    def run_base(self, request: Request) -> tuple[Signals, Any]:
        """Return the signals of the base run, and what the counterfactual run begins with."""
        given: list[Any] = []

        def record(module: nn.Module, args: Any, *output: Any) -> None:
            given.extend(output or args[:1])
            if not request.needs_head and not request.signals:
                raise ReachedError

        if self.start:
            handle = self.blocks[self.start - 1].register_forward_hook(record)
        else:
            handle = self.blocks[0].register_forward_pre_hook(record)
        try:
            if request.signals:
                return capture(self.model, self.batch, request, late=True), given[0]
            run_body(self.model, self._inputs)
            return {}, given[0]
        finally:
            handle.remove()

    def read_source(self, read: Read) -> list[Tensor]:
        """Return the activations of the source at each point [K, C], with gradients in a training."""
        exchange = self.batch[EXCHANGE]
        shifted = [replace(point, reads=True) for point in self.points]
        points = shifted if read == "shifted" else self.points
        return run_until_read(self.model, self._inputs_of(exchange["source"]), points, exchange["read"])

    def run_on(self, given: Any, rows: list[Tensor], request: Request) -> Signals:
        """Return the signals of the run that begins with what is given, and has the rows of the source."""
        write, points, values = self.batch[EXCHANGE]["write"], self.points, rows
        if self.at_output:
            states = points[0].replaced(first_of(given), write, values[0])
            given, points, values = with_first(given, states), points[1:], values[1:]

        def put(number: int, states: Tensor) -> Tensor:
            return points[number].replaced(states, write, values[number])

        with starting_at(self.model, self.start, given), watching(points, put):
            return capture(self.model, self.batch, request, late=True)
