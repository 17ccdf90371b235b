"""A teacher that gives only what is selected of its states."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kdpipe.anatomy.knowledge import Selection
from kdpipe.anatomy.signals import SIGNAL_KINDS, Signal, StoredPrecision
from kdpipe.errors import ModelError
from kdpipe.knowledge.rows import ChosenRows
from kdpipe.knowledge.tokens import ranked_places
from kdpipe.knowledge.width import factors_of, kept_numbers, largest_of_batch
from kdpipe.signals.adapted import Adapted
from kdpipe.signals.capture import Request, Signals, Teacher, ranking
from kdpipe.signals.rows import Rows


class ChoosingTeacher(Teacher):
    """A frozen model that gives what a selection takes of its states, and its outputs as they are.

    Args:
        model: the model, in evaluation mode.
        request: the signals that loss terms read.
        selection: what is taken of states.
        separators: ids of the tokens that separate texts.
        precision: how states are stored, where they are.

    Raises:
        ModelError: the model is an adapted one, and attention is to rank its tokens.
    """

    def __init__(
        self,
        model: Any,
        request: Request,
        selection: Selection,
        separators: Sequence[int] = (),
        precision: StoredPrecision = "float16",
    ) -> None:
        super().__init__(model, request)
        self.selection, self.separators, self.precision = selection, separators, precision
        if selection.ranks and isinstance(model, Adapted):
            raise ModelError("knowledge: an adapted model ranks no tokens; give `token_scheme: left_first`")

    def _capture(self, batch: Mapping[str, Any], late: bool = False) -> Signals:
        selected = [signal for signal in self.request.signals if is_selected(signal)]
        layers = {signal.ranked for signal in selected} - {0}
        with ranking(self.model, layers, batch, scores=self.selection.compat == "code") as weights:
            signals = super()._capture(batch, late)
        places = {layer: self._places(batch, weights[layer]()) for layer in layers}
        places |= {0: self._places(batch, None)}
        return signals | {
            signal: self.select(signal, chosen_tokens(signals[signal], places[signal.ranked]))
            for signal in selected
        }

    @property
    def tokens(self) -> int | None:
        """How many tokens are taken of a text."""
        return self.selection.amount.tokens

    def select(self, signal: Signal, rows: ChosenRows) -> Rows:
        """Return the rows of the chosen tokens as they are compared."""
        return compared(rows, self.selection, self.precision)

    def _places(self, batch: Mapping[str, Any], weights: Tensor | None) -> Tensor:
        apart = self.selection.token_scheme == "attention_no_sep" and weights is not None
        return ranked_places(weights, batch, self.tokens, self.separators if apart else ())


def is_selected(signal: Signal) -> bool:
    """Tell whether a signal is of the body, of which a part is selected."""
    return not SIGNAL_KINDS[signal.kind].needs_head


def selects(selection: Selection | None, request: Request) -> bool:
    """Tell whether a selection takes a part of what is requested of a teacher."""
    return selection is not None and any(map(is_selected, request.signals))


def chosen_tokens(rows: Rows, places: Tensor) -> ChosenRows:
    """Return the rows at the places of the chosen tokens [N] of the flattened batch."""
    found = torch.searchsorted(rows.places, places)
    return ChosenRows(rows.values.index_select(0, found), places, rows.size, rows.positions)


def compared(
    rows: ChosenRows, selection: Selection, precision: StoredPrecision, kept: Tensor | None = None
) -> ChosenRows:
    """Return rows of the chosen tokens with the numbers that a selection takes of them.

    Args:
        rows: the rows, in which numbers that are not known are 0.
        selection: what is taken.
        precision: how states are stored, where they are.
        kept: which numbers are taken, where it is known [N, W].
    """
    hidden = selection.amount.hidden
    if hidden is None or rows.values.dim() > 2:
        return rows
    lengths = rows.lengths
    if selection.by_batch:
        kept = largest_of_batch(rows.values, hidden, precision)
    elif kept is None:
        kept = kept_numbers(rows.values, lengths, selection.hidden_scheme, selection.share, precision)
    assert kept is not None
    if selection.compat == "code":
        # The student's other numbers are compared with zeros.
        return replace(rows, values=rows.values * kept)
    return replace(rows, factors=factors_of(kept, lengths))
