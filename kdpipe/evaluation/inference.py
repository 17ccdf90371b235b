"""Run a model over a split and put its logits in the order of the examples."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.data.batches import Collator, batches_by_length
from kdpipe.evaluation.task import Advance
from kdpipe.models.signals import Request, run_model

BATCH_SIZE = 64


@torch.inference_mode()
def example_logits(model: Any, collator: Collator, advance: Advance) -> NDArray[np.float32]:
    """Return the logits of every example [N, C], of a model that gives one row for each.

    Args:
        model: the model.
        collator: makes batches of the split.
        advance: told how many examples more have been run.
    """
    model.eval()
    found: NDArray[np.float32] | None = None
    for indices in batches_by_length(collator.split.lengths, BATCH_SIZE):
        rows = run_model(model, batch_on(collator, indices, model.device), Request()).logits
        assert rows is not None
        logits = rows.float().cpu().numpy()
        if found is None:
            found = np.empty((len(collator.split), logits.shape[1]), dtype=np.float32)
        found[indices] = logits
        advance(len(indices))
    assert found is not None
    return found


def batch_on(collator: Collator, indices: NDArray[np.int64], device: torch.device) -> dict[str, Tensor]:
    """Return a batch on a device."""
    return {name: tensor.to(device) for name, tensor in collator(indices.tolist()).items()}
