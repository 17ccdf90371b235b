"""A teacher's stored logits of where answers start and end, on the tokens of a student that has others."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdpipe.data.counterpart import Counterpart
from kdpipe.signals.answers import on_our_tokens
from kdpipe.signals.cache import CachedKnowledge
from kdpipe.signals.capture import Request, Signals


class MatchedAnswers:
    """The stored logits of a teacher with another tokenizer, on the student's tokens.

    Args:
        cached: the stored signals, on the teacher's windows.
        windows: the teacher's window of each window of the student's.

    Attributes:
        precision, usable: as of `kdpipe.data.batches.Knowledge`.
    """

    def __init__(self, cached: CachedKnowledge, windows: Counterpart) -> None:
        self._cached, self._windows = cached, windows
        self.precision, self.usable = cached.precision, windows.usable

    def require(self, request: Request) -> None:
        """Raise KdpipeError if the file lacks signals that losses read."""
        self._cached.require(request)

    def batch(self, rows: NDArray[np.int64], batch: Mapping[str, Any]) -> Signals:
        """Return the logits on some windows, as `CachedKnowledge.batch` does."""
        theirs = self._cached.batch(self._windows.rows[rows], batch)
        return on_our_tokens(theirs, self._windows.matches(rows), batch)
