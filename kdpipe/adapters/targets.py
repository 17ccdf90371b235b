"""What the settings of a masking say, as the library takes it: the tokens to predict."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.data.targets import Targets
from kdpipe.evaluation.scoring import task_of, token_targets

COUNTS_FILE = "counts.parquet"


def targets_of(
    model: Any, tokenizer: Any, data: Path, masking: MaskingSettings | None, counts: Path | None, seed: int
) -> Targets | None:
    """Return the tokens that a language model predicts; None where the data are for another task.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        data: the encoded dataset.
        masking: how tokens are masked; not needed for causal models.
        counts: an artifact of `count_tokens`; not needed if the smoothing is 0.
        seed: seed of the masks.
    """
    if not task_of(data).masked:
        return None
    options = masking.model_dump() if masking else {}
    return token_targets(model, tokenizer, seed, counts=occurrences(counts), **options)


def occurrences(counts: Path | None) -> NDArray[np.int64] | None:
    """Return how often each token occurs [V], from an artifact of `count_tokens`."""
    return pq.read_table(counts / COUNTS_FILE)["count"].to_numpy() if counts else None
