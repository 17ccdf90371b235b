"""Models that no family covers: a function of the user's says what their signals are."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from kdpipe.anatomy.signals import LOGITS, SIGNAL_KINDS, Positions, Signal
from kdpipe.errors import ModelError, listed, quoted, suggest
from kdpipe.signals.rows import ENTRIES, Rows, pack, rows_at

Adaptor = Callable[[Mapping[str, Any], Any], Mapping[str, Tensor]]
# What a model is given of a batch, as far as its `forward` names it.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# The largest logits are made of all logits.
NAMED = [kind for kind, known in SIGNAL_KINDS.items() if known.placed != "largest"]


class Adapted(nn.Module):
    """A model that no family of kdpipe covers, with a function that names its signals.

    Args:
        model: any module, whose `forward` names at least `input_ids` [B, L]; it is given `attention_mask` and
            `token_type_ids`, too, if it names them.
        adaptor: a function of a batch, and of what the model returns on the batch, to tensors by the names of
            signals: `logits` [B, C], or [B, L, C] of tokens (two of a token for question answering: where an
            answer starts, and ends); `hidden_states.N` [B, L, H], from 0; `attentions.N` [B, A, L, L];
            `queries.N`, `keys.N` and `values.N` [B, L, A, D], from 1; `module.NAME` [B, L, H].
        task: what its logits are for; by default what the other model's are for.
        labels: names of its logits; by default the other model's.
        causal: whether it predicts the next token, for language modelling.

    Raises:
        ModelError: the model is no module, or its `forward` has no `input_ids`.

    Reference:
        Yang et al. 2020, TextBrewer (arXiv 2002.12620), section 3: the adaptors.
    """

    def __init__(
        self,
        model: nn.Module,
        adaptor: Adaptor,
        *,
        task: str = "",
        labels: Sequence[str] = (),
        causal: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise ModelError(f"Adapted: expected a torch.nn.Module, found {quoted(model)}")
        if not callable(adaptor):
            raise ModelError(f"Adapted: expected a function as the adaptor, found {quoted(adaptor)}")
        named = signature(model.forward).parameters
        self.inputs = [name for name in INPUTS if name in named]
        if "input_ids" not in self.inputs:
            what = f"found {listed(named) or 'no parameters'}; wrap the model in a module with this parameter"
            raise ModelError(
                f"Adapted: expected `input_ids` among the parameters of {_name(model)}.forward, {what}"
            )
        self.model = model
        self.adaptor = adaptor
        self.task, self.labels, self.causal = task, tuple(labels), causal
        self.pad_token_id: int | None = None

    @property
    def device(self) -> torch.device:
        """The device of its parameters."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    def depth(self, batch: Mapping[str, Any]) -> int:
        """Return the last layer that the adaptor names on a batch, 0 without any."""
        return max((signal.place for signal in self(batch) if isinstance(signal.place, int)), default=0)

    def forward(self, batch: Mapping[str, Any]) -> dict[Signal, Tensor]:
        """Run the model on a batch, and return what the adaptor gives, by signals.

        Raises:
            ModelError: the adaptor gives no mapping, or names what is no signal.
        """
        inputs = {name: batch[name] for name in self.inputs if name in batch}
        given = self.adaptor(batch, self.model(**inputs))
        if not isinstance(given, Mapping):
            found = f"found a {type(given).__name__}"
            raise self._error(f"expected a mapping from names of signals to tensors, {found}")
        return {self._signal(name): tensor for name, tensor in given.items()}

    def signals(
        self, batch: Mapping[str, Any], wanted: Sequence[Signal], positions: Positions
    ) -> dict[Signal, Rows]:
        """Return signals of a batch as rows.

        Args:
            batch: as of `kdpipe.signals.capture.capture`.
            wanted: the signals that losses read.
            positions: the positions of the logits.

        Raises:
            ModelError: a signal is missing, or has another shape.
        """
        given = self(batch)
        if missing := [str(signal) for signal in wanted if signal not in given]:
            what = f"expected {listed(missing)}, which losses read, found {listed(map(str, given)) or 'none'}"
            raise self._error(f"{what}; return the signal, or compare another")
        return {signal: self._rows(signal, given[signal], positions, batch) for signal in wanted}

    def _signal(self, name: Any) -> Signal:
        """Return the signal that an adaptor names."""
        kind, _, place = str(name).partition(".")
        if kind not in NAMED:
            raise self._error(f"{quoted(name)} is no signal; {suggest(kind, NAMED)}")
        placed, first = SIGNAL_KINDS[kind].placed, SIGNAL_KINDS[kind].first
        fits = {"once": not place, "modules": bool(place), "layers": place.isdecimal()}[placed]
        if not fits or (placed == "layers" and int(place) < first):
            example = {"once": kind, "modules": f"{kind}.NAME", "layers": f"{kind}.{first}"}[placed]
            raise self._error(f"{quoted(name)} is no signal; expected a name such as `{example}`")
        return Signal.parse(name)

    def _rows(self, signal: Signal, tensor: Any, positions: Positions, batch: Mapping[str, Any]) -> Rows:
        # The logits of the starts and ends of answers come for each token at first.
        positions = "tokens" if signal != LOGITS or positions == "spans" else positions
        shape = _shape(signal, positions, batch)
        found = list(tensor.shape) if isinstance(tensor, Tensor) else []
        if len(found) != len(shape) or any(
            isinstance(size, int) and size != own for size, own in zip(shape, found, strict=True)
        ):
            what = found if isinstance(tensor, Tensor) else f"a {type(tensor).__name__}"
            raise self._error(f"{signal}: expected a tensor [{', '.join(map(str, shape))}], found {what}")
        values = tensor.transpose(1, 2) if SIGNAL_KINDS[signal.kind].rows == "queries" else tensor
        packed = pack(values, batch[ENTRIES[positions]]) if positions in ENTRIES else values
        return rows_at(packed, positions, batch)

    def _error(self, what: str) -> ModelError:
        return ModelError(f"the adaptor of the {_name(self.model)}: {what}")


def _shape(signal: Signal, positions: Positions, batch: Mapping[str, Any]) -> list[int | str]:
    """Return the sizes of a padded tensor, or what its sizes are of where they may be any."""
    kind = SIGNAL_KINDS[signal.kind]
    examples, length = batch["input_ids"].shape
    if kind.rows == "queries":
        return [examples, "heads", length, length]
    row = ["classes"] if kind.needs_head else ["heads", "size"] if kind.attends else ["width"]
    return [examples, *([length] if positions in ENTRIES else []), *row]


def bare(model: Any) -> Any:
    """Return a model as the user gave it."""
    return model.model if isinstance(model, Adapted) else model


def _name(model: nn.Module) -> str:
    return type(model).__name__
