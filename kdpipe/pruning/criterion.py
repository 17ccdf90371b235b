"""The contract of a criterion of importance."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor

from kdpipe.models.units import Groups, UnitKind

Reduction = Literal["batch", "example"]
# From a batch: the losses whose gradient is taken, of each row of logits [N] or by example of each one [B].
Losses = Callable[[Mapping[str, Tensor]], Tensor]
Scores = dict[UnitKind, list[Tensor]]


class Criterion(Protocol):
    """Scores the units of a model, the higher the more important.

    The class attributes are literals, as a config is checked against the source of the class.

    Attributes:
        reads_data: whether it looks at batches at all.
    """

    reads_data: ClassVar[bool]

    def __init__(self, model: Any, groups: Groups, reduction: Reduction, seed: int) -> None:
        """Prepare a model.

        Args:
            model: the model, in evaluation mode, whose weights take no gradients.
            groups: its units.
            reduction: whether absolute values are taken of the gradient of the mean over a batch's losses, or
                of those of its examples' losses.
            seed: seed of draws.
        """

    def add(self, batch: Mapping[str, Tensor], losses: Losses) -> None:
        """Take a batch into account."""

    def scores(self) -> Scores:
        """Return the scores by kind and place [units]."""
