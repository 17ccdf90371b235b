"""The contract of a task: its head, the meaning of its logits, and how its models are scored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.anatomy.signals import LOGITS, Positions
from kdpipe.data.batches import Batch, Collator, on_device
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.sampling import batches_by_length
from kdpipe.errors import ModelError
from kdpipe.losses.loss import OutputKind
from kdpipe.signals.adapted import bare
from kdpipe.signals.capture import Request, capture


@dataclass(frozen=True)
class Evaluation:
    """A model's scores on one split.

    Args:
        metrics: values of the metrics by name.
        n: number of examples, or of masked tokens, that the metrics average over.
        predictions: one row per example, in the order of the split.
        classes: number of classes in the labels or the predictions; None for a task without classes.
    """

    metrics: Mapping[str, float]
    n: int
    predictions: pa.Table
    classes: int | None = None


@dataclass(frozen=True)
class AnswerLimits:
    """Limits of the answers to questions.

    Args:
        longest: tokens of the longest answer.
        threshold: an answer is given unless the score of "no answer" exceeds its score by more than this.
    """

    longest: int = 30
    threshold: float = 0.0


USUAL_ANSWERS = AnswerLimits()
# The default number of examples in a batch.
BATCH_SIZE = 64
# Called with the number of examples after each batch.
Advance = Callable[[int], object]


@dataclass(frozen=True)
class Subject:
    """A model and the split that it is scored on; fields as the arguments of `score`."""

    model: Any
    collator: Collator
    metrics: tuple[str, ...]
    advance: Advance
    answers: AnswerLimits = USUAL_ANSWERS
    batch_size: int = BATCH_SIZE

    @property
    def split(self) -> EncodedSplit:
        """The examples."""
        return self.collator.split

    def batch(self, indices: NDArray[np.int64]) -> Batch:
        """Return a batch of the examples at some indices, on the model's device."""
        return on_device(self.collator(indices.tolist()), self.model.device)


class Task(Protocol):
    """A task of the catalog.

    Args:
        encoder: the class that turns examples into rows of token ids, as "module:Class".
        kind: meaning of its logits.
        positions: the rows of its logits: one per example, or one per labelled token.
        masked: whether tokens are masked, and so become labels.
        by_token: whether its logits are compared token by token, so that teacher and student need the same
            tokens.
        metrics: the default metrics of a dataset; models are chosen by the first metric.
        all_metrics: the metrics that a dataset may name.
    """

    encoder: str
    kind: OutputKind
    positions: Positions
    masked: bool = False
    by_token: bool = False
    metrics: tuple[str, ...]
    all_metrics: tuple[str, ...]

    @staticmethod
    def evaluate(subject: Subject) -> Evaluation:
        """Score a model on a split; on a split without labels the model only predicts."""
        ...

    @staticmethod
    def parts(predictions: pa.Table, classes: Sequence[str]) -> NDArray[np.float64]:
        """Return what each example adds to the sums that the metrics follow from [N, P].

        Args:
            predictions: the predictions of `evaluate`, on a split with labels.
            classes: the names of the labels, in the order of the dataset; () for a task without names.
        """
        ...

    @staticmethod
    def from_sums(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the metrics [B] that follow from sums of parts [B, P]; NaN where no example counts."""
        ...


@torch.inference_mode()
def run_batches(
    subject: Subject, positions: Positions = "examples"
) -> Iterator[tuple[NDArray[np.int64], Batch, Tensor]]:
    """Yield for each batch its examples' indices, the batch, and its logits in float32; lengths ascend.

    Raises:
        ModelError: a logit is NaN or infinite. (Logits of `spans` are -inf at padding.)
    """
    subject.model.eval()
    for indices in batches_by_length(subject.split.lengths, subject.batch_size):
        batch = subject.batch(indices)
        rows = capture(subject.model, batch, Request(positions=positions))[LOGITS]
        logits = rows.at(positions, batch).values
        if not bool((logits < torch.inf).all()):
            name = type(bare(subject.model)).__name__
            if origin := getattr(subject.model, "name_or_path", ""):
                name += f" made from {origin}"
            raise ModelError(
                f"the logits of the {name} on {subject.split.path} are not finite, as its training has "
                "diverged; lower the learning rate or set max_grad_norm"
            )
        yield indices, batch, logits.float()
        subject.advance(len(indices))


def example_logits(subject: Subject) -> NDArray[np.float32]:
    """Return the logits of all examples in their order [N, C]; the model gives one row for each example."""
    ordered: NDArray[np.float32] | None = None
    for indices, _, logits in run_batches(subject):
        if ordered is None:
            ordered = np.empty((len(subject.split), logits.shape[1]), dtype=np.float32)
        ordered[indices] = logits.cpu().numpy()
    assert ordered is not None
    return ordered
