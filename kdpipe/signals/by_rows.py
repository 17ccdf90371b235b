"""The stored signals of several teachers, each of some rows of a dataset: of one language, for example."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdpipe.anatomy.signals import Signal
from kdpipe.errors import KdpipeError
from kdpipe.signals.cache import CachedKnowledge
from kdpipe.signals.capture import Request, Signals


class KnowledgeByRows:
    """The signals of one teacher on each example, as if one teacher had given them all.

    Args:
        parts: the stored signals of each teacher, and the places of its examples in the split.
        count: number of examples of the split; each is one teacher's.

    Attributes:
        precision, usable: as of `kdpipe.data.batches.Knowledge`.

    Raises:
        KdpipeError: teachers multiplied matrices in different precisions.
    """

    def __init__(self, parts: Sequence[tuple[CachedKnowledge, NDArray[np.int64]]], count: int) -> None:
        self.parts = [part for part, _ in parts]
        self.precision = self.parts[0].precision
        if len({part.precision.name for part in self.parts}) > 1:
            raise KdpipeError(
                "teachers of different rows multiplied matrices in different precisions; give `bf16: true` or"
                " `bf16: false` in `training`"
            )
        self.usable = np.ones(count, dtype=bool)
        self._owners, self._places = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        for number, (part, rows) in enumerate(parts):
            self._owners[rows], self._places[rows] = number, np.arange(len(rows))
            self.usable[rows] = part.usable

    def require(self, request: Request) -> None:
        """Raise KdpipeError if the file of a teacher lacks signals that losses read."""
        for part in self.parts:
            part.require(request)

    def batch(self, rows: NDArray[np.int64], batch: Mapping[str, Any]) -> Signals:
        """Return the signals of some examples, as `CachedKnowledge.batch` does."""
        first = self.parts[0]
        return {signal: first.signal(signal, self._values(signal, rows), batch) for signal in first.columns}

    def _values(self, signal: Signal, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the stored rows of a signal of some examples, in the order of these."""
        found: dict[int, NDArray[Any]] = {}
        for number, part in enumerate(self.parts):
            own = np.flatnonzero(self._owners[rows] == number)
            if len(own):
                column, places = part.columns[signal], self._places[rows[own]]
                runs = np.split(column[places], np.cumsum(column.lengths_of(places))[:-1])
                found |= dict(zip(own.tolist(), runs, strict=True))
        return np.concatenate([found[place] for place in range(len(rows))])
