"""The tokens that a language model is trained to predict."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.data.batches import Targets
from kdpipe.evaluation.targets import token_targets
from kdpipe.evaluation.task import Task

COUNTS = "counts.parquet"


def training_targets(
    task: type[Task], model: Any, tokenizer: Any, settings: MaskingSettings, counts: Path | None, seed: int
) -> Targets | None:
    """Return which tokens are predicted in training for a task; None where labels are given.

    Args:
        task: the dataset's task.
        model: the model.
        tokenizer: its tokenizer.
        settings: how tokens are masked.
        counts: an artifact of `count_tokens`; not needed where the smoothing is 0.
        seed: seed of the draws.
    """
    if not task.masked:
        return None
    occurrences = pq.read_table(counts / COUNTS)["count"].to_numpy() if counts else None
    return token_targets(model, tokenizer, settings, seed, counts=occurrences)
