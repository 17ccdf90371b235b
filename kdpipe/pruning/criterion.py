"""The contract of a criterion of importance."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor

from kdpipe.models.units import Groups, UnitKind

Reduction = Literal["batch", "example"]
# Maps a batch to its losses: one per row of logits [N], or by example one per example [B].
Losses = Callable[[Mapping[str, Tensor]], Tensor]
Scores = dict[UnitKind, list[Tensor]]


class Criterion(Protocol):
    """Scores the units of a model: a higher score means a more important unit.

    The class attributes are literals, as a config is checked against the source of the class.

    Attributes:
        reads_data: whether the criterion reads batches.
    """

    reads_data: ClassVar[bool]

    def __init__(self, model: Any, groups: Groups, reduction: Reduction, seed: int) -> None:
        """Prepare a model.

        Args:
            model: the model, in evaluation mode, whose weights take no gradients.
            groups: its units.
            reduction: `batch` takes the absolute value of the gradient of a batch's mean loss, `example` that
                of the gradient of each example's loss.
            seed: seed of draws.
        """

    def add(self, batch: Mapping[str, Tensor], losses: Losses) -> None:
        """Add a batch to the scores; a criterion that reads no data needs none."""

    def scores(self) -> Scores:
        """Return the scores by kind and place [units]."""
        ...
