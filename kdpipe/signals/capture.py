"""Run a model for just those outputs that some loss term reads."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kdpipe.models.family import family_of
from kdpipe.signals.rows import pack

# What `Request.rows` says of models for question answering.
SPANS = "spans"


@dataclass(frozen=True)
class Request:
    """The outputs asked of a model.

    Args:
        logits: whether the logits are read.
        hidden_states: the hidden states that are read; 0 is the embedding output.
        rows: for models that give logits per position, the batch entry that lists the positions whose
            logits are read; `spans` for those of question answering as rows [2B, L], start and end of each
            example in turns, -inf at padding; None for all, or where there is one row of logits per example.
    """

    logits: bool = True
    hidden_states: tuple[int, ...] = ()
    rows: str | None = None


@dataclass(frozen=True)
class Signals:
    """The outputs of a model.

    Args:
        logits: one row per example or per position asked for [N, C], or per position [B, L, C].
        hidden_states: states by index, [B, L, H]; or already packed to the batch's real tokens, [N, H].
    """

    logits: Tensor | None = None
    hidden_states: Mapping[int, Tensor] = field(default_factory=dict)


def run_model(model: Any, batch: Mapping[str, Tensor], request: Request) -> Signals:
    """Run a model on a batch.

    Args:
        model: a transformers model of a family in the catalog.
        batch: `input_ids` [B, L] and the rest of what the family takes, and the rows that the request names.
        request: the outputs that are read.
    """
    inputs = {name: batch[name] for name in family_of(model).inputs if name in batch}
    with recording(model, request.hidden_states) as states:
        if not request.logits:
            model.base_model(**inputs)
            return Signals(None, states)
        if request.rows == SPANS:
            return Signals(_span_logits(_logits(model, inputs, None), batch["attention_mask"]), states)
        return Signals(_logits(model, inputs, batch[request.rows] if request.rows else None), states)


def _logits(model: Any, inputs: Mapping[str, Tensor], rows: Tensor | None) -> Tensor:
    """Return the logits of some positions or of all; over the vocabulary only these are computed."""
    if rows is not None and model.get_output_embeddings() is not None:
        final = model.base_model(**inputs).last_hidden_state
        return family_of(model).lm_logits(model, pack(final, rows))
    output = family_of(model).run(model, inputs)
    # The two logits of a position in question answering: the answer starts here, it ends here.
    spans = "start_logits" in output
    logits = torch.stack((output.start_logits, output.end_logits), dim=-1) if spans else output.logits
    return logits if rows is None else pack(logits, rows)


def _span_logits(logits: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the rows of starts and ends [2B, L] from the two logits of each position [B, L, 2]."""
    turns = logits.transpose(1, 2)
    return turns.masked_fill(attention_mask[:, None] == 0, -torch.inf).flatten(0, 1)


@contextmanager
def recording(model: Any, wanted: tuple[int, ...]) -> Iterator[dict[int, Tensor]]:
    """Record hidden states while the model runs, those asked for and no others.

    State n is what block n reads, from 0, and the last one what the body returns, after its final norm if it
    has one: the states that transformers calls `hidden_states`.
    """
    family, body = family_of(model), model.base_model
    blocks = family.blocks(body)
    states: dict[int, Tensor] = {}

    def record(index: int) -> RemovableHandle:
        if index == len(blocks):
            return family.last(body).register_forward_hook(keep_output)
        return blocks[index].register_forward_pre_hook(partial(keep_input, index))

    def keep_input(index: int, module: nn.Module, inputs: Any) -> None:
        states[index] = inputs[0]

    def keep_output(module: nn.Module, inputs: Any, output: Any) -> None:
        states[len(blocks)] = output[0] if isinstance(output, tuple) else output

    handles = [record(index) for index in wanted]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()
