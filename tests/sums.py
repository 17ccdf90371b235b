"""The sums of an objective's terms, each from all of its rows at once."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kdpipe.signals.capture import Origin, Signals
from kdpipe.training.objective import Objective


def sums_of(
    objective: Objective, signals: Mapping[Origin, Signals], batch: Mapping[str, Any]
) -> dict[str, Tensor]:
    return {term.name: objective.sum(term, signals, batch) for term in objective.terms}
