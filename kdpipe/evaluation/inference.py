"""Run a model over a split, and put its logits in the order of the examples."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.data.batches import batches_by_length
from kdpipe.errors import ModelError
from kdpipe.evaluation.task import Subject
from kdpipe.signals.capture import Request, run_model


@torch.inference_mode()
def run_batches(
    subject: Subject, rows: str | None = None
) -> Iterator[tuple[NDArray[np.int64], dict[str, Tensor], Tensor]]:
    """Yield the examples of each batch, in order of length, with the batch and its logits in float32.

    Args:
        subject: the model and the split.
        rows: whose logits are read, as of `Request`.

    Raises:
        ModelError: a logit is not a number, or infinite; -inf is what `spans` have at padding.
    """
    subject.model.eval()
    for indices in batches_by_length(subject.split.lengths, subject.batch_size):
        batch = subject.batch(indices)
        logits = run_model(subject.model, batch, Request(rows=rows)).logits
        assert logits is not None
        if not bool((logits < torch.inf).all()):
            made = f"{type(subject.model).__name__} made from {subject.model.name_or_path or 'nothing'}"
            raise ModelError(
                f"the {made} gives logits on {subject.split.path} that are not finite; "
                "its training has diverged: lower the learning rate or set max_grad_norm"
            )
        yield indices, batch, logits.float()
        subject.advance(len(indices))


def example_logits(subject: Subject) -> NDArray[np.float32]:
    """Return the logits of every example [N, C], of a model that gives one row for each."""
    found: NDArray[np.float32] | None = None
    for indices, _, logits in run_batches(subject):
        if found is None:
            found = np.empty((len(subject.split), logits.shape[1]), dtype=np.float32)
        found[indices] = logits.cpu().numpy()
    assert found is not None
    return found
