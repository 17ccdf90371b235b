"""Run a model over a split and put its logits in the order of the examples."""

import numpy as np
import torch
from numpy.typing import NDArray

from kdpipe.data.batches import batches_by_length
from kdpipe.evaluation.task import Subject
from kdpipe.models.signals import Request, run_model

BATCH_SIZE = 64


@torch.inference_mode()
def example_logits(subject: Subject) -> NDArray[np.float32]:
    """Return the logits of every example [N, C], of a model that gives one row for each."""
    subject.model.eval()
    found: NDArray[np.float32] | None = None
    for indices in batches_by_length(subject.split.lengths, BATCH_SIZE):
        rows = run_model(subject.model, subject.batch(indices), Request()).logits
        assert rows is not None
        logits = rows.float().cpu().numpy()
        if found is None:
            found = np.empty((len(subject.split), logits.shape[1]), dtype=np.float32)
        found[indices] = logits
        subject.advance(len(indices))
    assert found is not None
    return found
