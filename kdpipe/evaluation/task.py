"""What kdpipe needs to know of a task: the head, what its logits mean, how models are scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.losses.loss import OutputKind
from kdpipe.models.loading import Head


@dataclass(frozen=True)
class Evaluation:
    """A model's scores on one split.

    Args:
        metrics: metric to value.
        n: what the metrics average over: examples, or masked tokens.
        predictions: one row per example, in the order of the split.
        classes: how many classes the labels or the predictions have; None where there are none.
    """

    metrics: Mapping[str, float]
    n: int
    predictions: pa.Table
    classes: int | None = None


@dataclass(frozen=True)
class AnswerLimits:
    """Which answers to questions are given.

    Args:
        longest: tokens of the longest answer.
        threshold: by how much the logits of giving none may exceed those of an answer that is given.
    """

    longest: int = 30
    threshold: float = 0.0


USUAL_ANSWERS = AnswerLimits()
# Examples that are run at once where nobody says.
BATCH_SIZE = 64
# Told how many examples more have been run.
Advance = Callable[[int], object]


@dataclass(frozen=True)
class Subject:
    """What is scored: a model on a split.

    Args:
        model: a model with the task's head, its labels in the dataset's order.
        collator: makes batches of the split.
        labels: the dataset's labels.
        metrics: names of the metrics.
        advance: told how many examples more have been run.
        answers: which answers to questions are given.
        batch_size: examples that are run at once.
    """

    model: Any
    collator: Collator
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    advance: Advance
    answers: AnswerLimits = USUAL_ANSWERS
    batch_size: int = BATCH_SIZE

    @property
    def split(self) -> EncodedSplit:
        """The examples."""
        return self.collator.split

    def batch(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return the batch of some examples, on the model's device."""
        batch = self.collator(indices.tolist())
        return {name: tensor.to(self.model.device) for name, tensor in batch.items()}


class Task(Protocol):
    """A task of the catalog.

    Args:
        encoder: what turns its examples into rows of token ids, as "module:Class".
        kind: what its logits mean.
        positions: which rows its logits have: one per example, or one per labelled token.
        masked: whether tokens are masked, and so become labels.
        by_token: whether its logits go by tokens, so that teacher and student must see the same ones.
        metrics: the metrics of a dataset that names none; models are chosen by the first.
        all_metrics: the metrics that a dataset may name.
    """

    encoder: str
    kind: OutputKind
    positions: str
    masked: bool
    by_token: bool
    metrics: tuple[str, ...]
    all_metrics: tuple[str, ...]

    @staticmethod
    def head(labels: Sequence[str] | None) -> Head:
        """Return the head that models for this task have."""

    @staticmethod
    def evaluate(subject: Subject) -> Evaluation:
        """Score a model on a split; without labels it only predicts."""
