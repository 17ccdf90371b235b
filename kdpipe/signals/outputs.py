"""What a head gives: the logits of some positions, and the largest of them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kdpipe.anatomy.signals import Positions, Signal
from kdpipe.errors import ModelError
from kdpipe.models.family import family_of
from kdpipe.signals.rows import ENTRIES, LateLogits, Rows, pack, rows_at


def logits_at(
    model: Any, batch: Mapping[str, Any], inputs: Mapping[str, Tensor], positions: Positions, late: bool
) -> Rows:
    """Run a model on a batch and return its logits at some positions.

    A head over the vocabulary computes no other logits. For spans, these are the logits of all tokens.

    Args:
        model: a transformers model of a family in the catalog.
        batch: as of `kdpipe.signals.capture.capture`.
        inputs: the inputs of the family.
        positions: the positions.
        late: a head over the vocabulary computes no logits yet; `LateLogits` are returned.
    """
    positions = "tokens" if positions == "spans" else positions
    places = batch[ENTRIES[positions]] if positions in ENTRIES else None
    if places is not None and model.get_output_embeddings() is not None:
        family = family_of(model)
        states = rows_at(pack(model.base_model(**inputs).last_hidden_state, places), positions, batch)
        head = partial(family.lm_logits, model)
        if not late:
            return replace(states, values=head(states.values))
        weights, entries = tuple(family.lm_weights(model)), model.config.vocab_size
        learns = torch.is_grad_enabled()
        return LateLogits(
            states.values, states.places, states.size, positions, head, weights, entries, learns
        )
    output = family_of(model).run(model, inputs)
    # The two logits of a position in question answering: the answer starts here, it ends here.
    spans = "start_logits" in output
    logits = torch.stack((output.start_logits, output.end_logits), dim=-1) if spans else output.logits
    return rows_at(logits if places is None else pack(logits, places), positions, batch)


def outputs_of(logits: Rows, wanted: Iterable[Signal]) -> dict[Signal, Rows]:
    """Return the signals that are made of the logits of a head."""
    signals = {}
    for signal in wanted:
        if signal.kind == "logits":
            signals[signal] = logits
        else:
            values, entries = largest(logits, int(signal.place or 0))
            signals[signal] = values if signal.kind == "top_logits" else entries
    return signals


def largest(logits: Rows, number: int) -> tuple[Rows, Rows]:
    """Return the largest logits of each row with the log-sum-exp of all others, and the largest's places.

    Args:
        logits: rows of C outputs.
        number: k, below C; rows have k+1 values, and k places.
    """
    outputs = logits.values.shape[-1]
    if number >= outputs:
        raise ModelError(f"top_k: expected fewer than the {outputs} outputs of the model, found {number}")
    values, entries = logits.values.float().topk(number, dim=-1)
    others = logits.values.float().scatter(-1, entries, -torch.inf).logsumexp(-1, keepdim=True)
    return replace(logits, values=torch.cat((values, others), dim=-1)), replace(logits, values=entries)
