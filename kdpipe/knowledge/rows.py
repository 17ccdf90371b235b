"""Rows of the tokens that are chosen of a teacher, and the factors of their numbers in a comparison."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from kdpipe.signals.rows import Rows


@dataclass(frozen=True)
class ChosenRows(Rows):
    """Rows of some tokens of each example, in the order of their ranks.

    Args:
        factors: by what each number is multiplied on both sides before they are compared, 0 for numbers that
            are left out [N, W]; None where all count.
    """

    factors: Tensor | None = None

    @property
    def lengths(self) -> list[int]:
        """The number of chosen tokens of each example."""
        found: list[int] = torch.bincount(self.examples, minlength=self.size[0]).tolist()
        return found

    @property
    def ranks(self) -> Tensor:
        """The rank of each row among the chosen tokens of its example, from 0 [N]."""
        counts = torch.tensor(self.lengths, device=self.places.device)
        starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
        return torch.arange(len(self.places), device=self.places.device) - starts

    def first(self, tokens: int) -> "ChosenRows":
        """Return the rows of so many of the best tokens of each example."""
        best = self.ranks < tokens
        return replace(self, values=self.values[best], places=self.places[best])

    def to(self, *options: Any, **more: Any) -> "ChosenRows":
        factors = self.factors if self.factors is None else self.factors.to(*options, **more)
        values, places = self.values.to(*options, **more), self.places.to(*options, **more)
        return replace(self, values=values, places=places, factors=factors)

    def pin_memory(self) -> "ChosenRows":
        factors = self.factors if self.factors is None else self.factors.pin_memory()
        values, places = self.values.pin_memory(), self.places.pin_memory()
        return replace(self, values=values, places=places, factors=factors)

    def of(self, whole: Rows) -> Rows:
        """Return the rows of another model at the same tokens, from its rows of all tokens."""
        found = torch.searchsorted(whole.places, self.places)
        return replace(whole, values=whole.values.index_select(0, found), places=self.places)

    def weighed(self, rows: Rows) -> Rows:
        """Return rows whose numbers are multiplied by the factors."""
        return rows if self.factors is None else replace(rows, values=rows.values * self.factors)
