"""Run a student or a frozen teacher, and capture only the signals that some loss term reads."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kdpipe.anatomy.signals import LOGITS, SIGNAL_KINDS, Place, Positions, Signal
from kdpipe.errors import ModelError
from kdpipe.models.attention import attention_of, attention_probabilities, token_weights
from kdpipe.models.dropout import gives_weights
from kdpipe.models.family import family_of
from kdpipe.models.units import Group
from kdpipe.signals.adapted import Adapted
from kdpipe.signals.bodies import ending_below, run_body
from kdpipe.signals.modules import find_module, token_outputs
from kdpipe.signals.outputs import logits_at, outputs_of
from kdpipe.signals.rows import LateLogits, Rows, pack, rows_at

Signals = dict[Signal, Rows]
Getter = Callable[[], Tensor]


@dataclass(frozen=True)
class Request:
    """The signals asked of a model.

    Args:
        signals: the signals.
        positions: the positions of the logits; for spans, logits of all tokens are captured.
    """

    signals: tuple[Signal, ...] = (LOGITS,)
    positions: Positions = "examples"

    @property
    def outputs(self) -> list[Signal]:
        """The signals that the head of the model gives."""
        return [signal for signal in self.signals if SIGNAL_KINDS[signal.kind].needs_head]

    @property
    def inner(self) -> list[Signal]:
        """The signals that the body of the model gives."""
        return [signal for signal in self.signals if not SIGNAL_KINDS[signal.kind].needs_head]

    @property
    def needs_head(self) -> bool:
        """Whether the head of the model is run."""
        return bool(self.outputs)

    @property
    def last(self) -> int | None:
        """The last block, from 1, that is read; None where the head or named modules are read."""
        layers = [max(int(signal.place or 0), signal.ranked) for signal in self.signals if _of_layer(signal)]
        return max(layers) if len(layers) == len(self.signals) > 0 else None

    @property
    def aligned(self) -> bool:
        """Whether some signals have a row for each token, so that teacher and student need equal tokens."""
        by_token = self.needs_head and self.positions == "tokens"
        return by_token or any(SIGNAL_KINDS[signal.kind].aligned for signal in self.signals)


def _of_layer(signal: Signal) -> bool:
    return SIGNAL_KINDS[signal.kind].placed == "layers"


# Asked of a run that serves another run alone.
NOTHING = Request(())
# The run on the text as it is, and the run in which activations of another text replace some of its own.
BASE, COUNTERFACTUAL = "base", "counterfactual"


class Origin(NamedTuple):
    """A run of a model that gives signals.

    Args:
        teacher: the teacher's name; "" for the student.
        run: the run.
    """

    teacher: str = ""
    run: str = BASE


STUDENT = Origin()
# A teacher that has no name of its own.
TEACHER = Origin("teacher")


def capture(
    model: Any, batch: Mapping[str, Any], request: Request, late: bool = False, last: int | None = None
) -> Signals:
    """Run a model on a batch and return the signals asked for, packed.

    Args:
        model: a transformers model of a family in the catalog, or an `Adapted` model.
        batch: `input_ids` [B, L], the other inputs of the family, and the places of the rows.
        request: the signals that are captured.
        late: a head over the vocabulary computes no logits yet; all outputs stand as `LateLogits` for logits.
        last: the last block that runs, counted from 1; None for all.
    """
    if isinstance(model, Adapted):
        wanted = [*request.inner, *([LOGITS] if request.needs_head else [])]
        signals: Signals = model.signals(batch, wanted, request.positions)
    else:
        signals = _captured(model, batch, request, late, last)
    if request.needs_head and not isinstance(signals[LOGITS], LateLogits):
        signals |= outputs_of(signals.pop(LOGITS), request.outputs)
    return signals


def _captured(
    model: Any, batch: Mapping[str, Any], request: Request, late: bool, last: int | None
) -> Signals:
    """Return the signals of the body, and the logits if any output is asked for."""
    inputs = {name: batch[name] for name in family_of(model).inputs if name in batch}
    with recording(model, request.inner, batch) as tensors:
        signals: Signals = {}
        if request.needs_head:
            signals[LOGITS] = logits_at(model, batch, inputs, request.positions, late)
        else:
            with nullcontext() if last is None else ending_below(model, last):
                run_body(model, inputs)
        for signal, tensor in tensors.items():
            signals[signal] = rows_at(pack(tensor(), batch["token_rows"]), "tokens", batch)
    return signals


class Teacher:
    """A frozen model whose signals are captured while the student learns.

    Args:
        model: the model, in evaluation mode.
        request: the signals that the loss terms read.

    Attributes:
        passes: about how often a batch passes the model.
    """

    passes = 1

    def __init__(self, model: Any, request: Request) -> None:
        self.model = model
        self.request = request

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any]) -> Signals:
        """Return the teacher's signals on a batch."""
        return self._capture(batch)

    @torch.no_grad()
    def runs(self, batch: Mapping[str, Any]) -> dict[str, Signals]:
        """Return the signals of each of its runs on a batch, by the name of the run; logits may be late."""
        return {BASE: self._capture(batch, late=True)}

    def _capture(self, batch: Mapping[str, Any], late: bool = False) -> Signals:
        """Run the model as far as its signals are read."""
        return capture(self.model, batch, self.request, late, self.request.last)


@contextmanager
def recording(
    model: Any, signals: list[Signal], batch: Mapping[str, Any]
) -> Iterator[Mapping[Signal, Getter]]:
    """Record some signals of the body while the model runs.

    Yields:
        For each signal a function that returns it with its padding [B, L, ...], once the model has run.
    """
    run = Run(model, batch)
    try:
        yield {signal: RECORDERS[signal.kind](run, signal.place) for signal in signals}
    finally:
        for handle in run.handles:
            handle.remove()


@contextmanager
def ranking(
    model: Any, layers: Collection[int], batch: Mapping[str, Any], scores: bool = False
) -> Iterator[Mapping[int, Getter]]:
    """Record how some blocks attend to tokens while the model runs; arguments as of `token_weights`.

    Yields:
        For each block, from 1, a function that returns the weights [B, L], once the model has run.
    """
    run = Run(model, batch)
    try:
        yield {layer: _token_weights(run, layer, scores) for layer in layers}
    finally:
        for handle in run.handles:
            handle.remove()


@dataclass
class Run:
    """A run of a model, and the hooks that record what its modules read and return.

    Args:
        model: the model.
        batch: the batch.
    """

    model: Any
    batch: Mapping[str, Any]
    handles: list[RemovableHandle] = field(default_factory=list)

    @property
    def body(self) -> Any:
        """The model without its head."""
        return self.model.base_model

    @cached_property
    def _heads(self) -> "list[Group]":
        """The heads of each block, and then the heads of other places."""
        family = family_of(self.model)
        if not family.unit_names:
            raise ModelError(f"a {type(self.model).__name__} has no attention heads to compare")
        return list(family.groups(self.body)["head"])

    def heads(self, place: Place) -> "Group":
        """Return the heads of a block, counted from 1."""
        group = self._heads[int(place or 0) - 1]
        if not group.count(self.body):
            raise self.without_heads(place)
        return group

    def without_heads(self, place: Place) -> ModelError:
        """Return the error that a block has no heads, as it may in a smaller size of the model."""
        return ModelError(f"block {place} of the {type(self.model).__name__} has no heads left to compare")

    def input_of(self, module: nn.Module) -> Getter:
        """Record the first input of a module."""
        inputs: list[Tensor] = []
        self.handles.append(module.register_forward_pre_hook(lambda _, args: inputs.append(args[0])))
        return lambda: inputs[-1]

    def output_of(self, module: nn.Module, number: int = 0) -> Callable[[], Any]:
        """Record the output of a module, or one of several outputs, by default the first."""
        outputs = []

        def record(module: nn.Module, args: Any, output: Any) -> None:
            outputs.append(output if isinstance(output, Tensor) else output[number])

        self.handles.append(module.register_forward_hook(record))
        return lambda: outputs[-1]


def _hidden_state(run: Run, place: Place) -> Getter:
    """Record the input of block n, from 0; the last state is the output of the body, after its final norm.

    These are the `hidden_states` of transformers.
    """
    family = family_of(run.model)
    blocks = family.blocks(run.body)
    return run.output_of(family.last(run.body)) if place == len(blocks) else run.input_of(blocks[place])  # type: ignore[index]


def _projected(part: int, run: Run, place: Place) -> Getter:
    """Record queries (part 0), keys (1) or values (2) of each head [B, L, A, D]."""
    group = run.heads(place)
    joint = len(group.inputs) == 1
    output = run.output_of(run.body.get_submodule(group.inputs[0 if joint else part]))

    def heads() -> Tensor:
        features: Tensor = output().chunk(3, dim=-1)[part] if joint else output()
        if not features.shape[-1]:
            raise run.without_heads(place)
        return features.reshape(*features.shape[:-1], -1, group.size)

    return heads


def _attentions(run: Run, place: Place) -> Getter:
    """Record the attention probabilities of a block by query, before dropout [B, L, A, L].

    The fast attention of a training on a CPU gives them, in the precision in which the model uses them.
    Otherwise they are computed from queries and keys in float32.
    """
    attention = attention_of(run.body, run.heads(place))
    queries, keys = (_projected(part, run, place) for part in (0, 1))
    weights = run.output_of(attention, -1)

    def probabilities() -> Tensor:
        left, right, mask = queries(), keys(), run.batch["attention_mask"]
        found: Tensor | None = weights() if gives_weights(run.model) else None
        if found is None:
            found = attention_probabilities(run.model, attention, left, right, mask)
        return found.transpose(1, 2)

    return probabilities


def _token_weights(run: Run, place: Place, scores: bool) -> Getter:
    attention = attention_of(run.body, run.heads(place))
    queries, keys = (_projected(part, run, place) for part in (0, 1))
    mask = run.batch["attention_mask"]
    return lambda: token_weights(run.model, attention, queries(), keys(), mask, scores)


def _module(run: Run, place: Place) -> Getter:
    output = run.output_of(find_module(run.body, str(place)))
    return lambda: token_outputs(output, str(place), run.batch)


# The recorder of each kind of signal of the body.
RECORDERS: Mapping[str, Callable[[Run, Place], Getter]] = {
    "hidden_states": _hidden_state,
    "attentions": _attentions,
    "queries": partial(_projected, 0),
    "keys": partial(_projected, 1),
    "values": partial(_projected, 2),
    "module": _module,
}
