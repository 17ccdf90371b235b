"""Run a model over a split."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.anatomy.signals import LOGITS, Positions
from kdpipe.data.batches import Batch, batches_by_length
from kdpipe.errors import ModelError
from kdpipe.evaluation.task import Subject
from kdpipe.signals.capture import Request, capture


@torch.inference_mode()
def run_batches(
    subject: Subject, positions: Positions = "examples"
) -> Iterator[tuple[NDArray[np.int64], Batch, Tensor]]:
    """Yield for each batch its examples' indices, the batch, and its logits in float32; lengths ascend.

    Args:
        subject: the model and the split.
        positions: the positions whose logits are read.

    Raises:
        ModelError: a logit is NaN or infinite. (Logits of `spans` are -inf at padding.)
    """
    subject.model.eval()
    for indices in batches_by_length(subject.split.lengths, subject.batch_size):
        batch = subject.batch(indices)
        rows = capture(subject.model, batch, Request(positions=positions))[LOGITS]
        logits = rows.at(positions, batch).values
        if not bool((logits < torch.inf).all()):
            name = f"{type(subject.model).__name__} made from {subject.model.name_or_path or 'nothing'}"
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
