"""What kdpipe needs to know of a task: the head, what its logits mean, how models are scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import torch
from torch import Tensor

from kdpipe.data.batches import Collator
from kdpipe.losses.term import OutputKind
from kdpipe.models.loading import Head


@dataclass(frozen=True)
class Evaluation:
    """A model's scores on one split.

    Args:
        metrics: metric to value.
        n: what the metrics average over: examples, or masked tokens.
        predictions: one row per example, in the order of the split.
    """

    metrics: Mapping[str, float]
    n: int
    predictions: pa.Table


# Told how many examples more have been run.
Advance = Callable[[int], object]


class Task(Protocol):
    """A task of the catalog.

    Args:
        kind: what its logits mean.
        positions: which rows its logits have: one per example, or one per masked token.
        selection_metric: the metric that models are chosen by.
        metrics: all its metrics.
    """

    kind: OutputKind
    positions: str
    selection_metric: str
    metrics: tuple[str, ...]

    @staticmethod
    def head(labels: Sequence[str] | None) -> Head:
        """Return the head that models for this task have."""

    @staticmethod
    def evaluate(
        model: Any, collator: Collator, labels: Sequence[str] | None, advance: Advance
    ) -> Evaluation:
        """Score a model, whose labels are the dataset's in its order, on the split of a collator."""


def batch_on(collator: Collator, indices: Sequence[int], device: torch.device) -> dict[str, Tensor]:
    """Return a batch on a device."""
    return {name: tensor.to(device) for name, tensor in collator(indices).items()}
