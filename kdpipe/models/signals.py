"""Run a model for just those outputs that some loss term reads."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kdpipe.losses.reduce import pack
from kdpipe.models.family import family_of

# What `Request.rows` says of models for question answering.
SPANS = "spans"


@dataclass(frozen=True)
class Request:
    """The outputs asked of a model.

    Args:
        logits: whether the logits are read.
        hidden_states: the hidden states that are read; 0 is the embedding output.
        rows: for language models, the batch entry that lists the positions whose logits are read; `spans` for
            the start and end logits of question answering, [2B, L] in turns, -inf at padding; None for models
            that give one row of logits per example.
    """

    logits: bool = True
    hidden_states: tuple[int, ...] = ()
    rows: str | None = None


@dataclass(frozen=True)
class Signals:
    """The outputs of a model.

    Args:
        logits: one row per example, or per position asked for, [N, C].
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
    family = family_of(model)
    inputs = {name: batch[name] for name in family.inputs if name in batch}
    with recording(model, request.hidden_states) as states:
        if request.logits and request.rows is None:
            logits = model(**inputs).logits
        elif request.logits and request.rows == SPANS:
            logits = _span_logits(model(**inputs), batch["attention_mask"])
        else:
            final = model.base_model(**inputs).last_hidden_state
            rows = batch[request.rows] if request.rows else None
            logits = (
                family.lm_logits(model, pack(final, rows)) if request.logits and rows is not None else None
            )
    return Signals(logits, states)


def _span_logits(output: Any, attention_mask: Tensor) -> Tensor:
    logits = torch.stack((output.start_logits, output.end_logits), dim=1)
    return logits.masked_fill(attention_mask[:, None] == 0, -torch.inf).flatten(0, 1)


@contextmanager
def recording(model: Any, wanted: tuple[int, ...]) -> Iterator[dict[int, Tensor]]:
    """Record hidden states while the model runs, those asked for and no others."""
    family, body = family_of(model), model.base_model
    modules = [family.embeddings(body), *family.blocks(body)]
    states: dict[int, Tensor] = {}

    def keep(index: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            states[index] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [modules[index].register_forward_hook(keep(index)) for index in wanted]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()
