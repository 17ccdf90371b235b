"""Rows of a model's signals: packed, without padding; each row knows its example."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from kdpipe.anatomy.signals import Positions

# The entry of a batch with the places of the rows in the flattened batch; examples are all, in order.
ENTRIES = {"tokens": "token_rows", "labelled": "label_rows"}


@dataclass(frozen=True)
class Rows:
    """The rows of a signal on a batch, one after the other.

    Args:
        values: [N, ...].
        places: the place of each row in the padded batch, flattened [N].
        size: examples of the batch, and rows of an example with its padding.
        positions: the positions of the rows: examples, tokens, labelled positions, or spans.
    """

    values: Tensor
    places: Tensor
    size: tuple[int, int]
    positions: Positions

    @property
    def examples(self) -> Tensor:
        """The example of each row [N]."""
        return self.places // self.size[1]

    @property
    def real(self) -> Tensor:
        """Whether each place of the padded batch has a row [B, L]."""
        padding = torch.zeros(self.size, dtype=torch.bool, device=self.places.device)
        return padding.flatten().index_fill(0, self.places, True).view(self.size)

    def padded(self, padding: float = 0.0) -> Tensor:
        """Return the rows of each example, followed by padding [B, L, ...]."""
        examples, length = self.size
        whole = self.values.new_full((examples * length, *self.values.shape[1:]), padding)
        return whole.index_copy(0, self.places, self.values).view(*self.size, *self.values.shape[1:])

    def at(self, positions: Positions, batch: Mapping[str, Any]) -> "Rows":
        """Return the rows at the positions that a loss reads."""
        return self if positions == self.positions else VIEWS[positions](self, batch)

    def to(self, *options: Any, **more: Any) -> "Rows":
        """Return the rows on a device, as `Tensor.to` does; accelerate calls this to move a batch."""
        return replace(self, values=self.values.to(*options, **more), places=self.places.to(*options, **more))

    def pin_memory(self) -> "Rows":
        """Return the rows in pinned memory; torch's data loader calls this."""
        return replace(self, values=self.values.pin_memory(), places=self.places.pin_memory())


@dataclass(frozen=True)
class LateLogits(Rows):
    """Rows of logits over a vocabulary that are not computed yet: the values are the states of the head.

    Args:
        head: maps states [N, H] to logits [N, V].
        weights: the weights of the head.
        entries: the number of logits of a row.
        learns: whether the head has gradients: it is not a teacher's.
    """

    head: Callable[[Tensor], Tensor]
    weights: tuple[Tensor, ...]
    entries: int
    learns: bool

    def at(self, positions: Positions, batch: Mapping[str, Any]) -> Rows:
        """Return the logits at the positions that a loss reads."""
        return self.computed(self.values).at(positions, batch)

    def computed(self, states: Tensor) -> Rows:
        """Return the logits of some of its states [N, H]."""
        with torch.set_grad_enabled(self.learns and torch.is_grad_enabled()):
            return Rows(self.head(states), self.places, self.size, self.positions)


def rows_at(values: Tensor, positions: Positions, batch: Mapping[str, Any]) -> Rows:
    """Return values [N, ...] as the rows of a batch at some positions."""
    examples, length = batch["input_ids"].shape
    if positions in ENTRIES:
        return Rows(values, batch[ENTRIES[positions]], (examples, length), positions)
    return Rows(values, torch.arange(examples, device=values.device), (examples, 1), positions)


def pack(tensor: Tensor, places: Tensor) -> Tensor:
    """Return the rows [N, ...] that a loss reads of a padded batch [B, L, ...], one after the other.

    Places are positions in the flattened batch [N]. Indices need no synchronisation with the device, unlike a
    boolean mask.
    """
    return tensor.flatten(0, 1).index_select(0, places)


def _labelled(rows: Rows, batch: Mapping[str, Any]) -> Rows:
    """Return the rows of labelled tokens from the rows of all tokens."""
    chosen = rows.values.index_select(0, batch["label_places"])
    return replace(rows, values=chosen, places=batch["label_rows"], positions="labelled")


def _spans(rows: Rows, batch: Mapping[str, Any]) -> Rows:
    """Return logits of starts and ends in turns [2B, L], -inf at padding, from logits of tokens [N, 2]."""
    turns = rows.padded(-torch.inf).transpose(1, 2).flatten(0, 1)
    return Rows(turns, torch.arange(len(turns), device=turns.device), (rows.size[0], 2), "spans")


VIEWS: Mapping[str, Callable[[Rows, Mapping[str, Any]], Rows]] = {"labelled": _labelled, "spans": _spans}
