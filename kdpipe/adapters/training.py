"""What the settings of a training say, as the library takes it: losses, and the tokens to predict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from kdpipe import catalog
from kdpipe.config.settings.losses import TermSettings
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.data.targets import Targets
from kdpipe.evaluation.scoring import token_targets
from kdpipe.evaluation.task import Task
from kdpipe.training.objective import Projection
from kdpipe.training.terms import Weighted

COUNTS = "counts.parquet"


def losses_of(terms: Sequence[TermSettings]) -> list[Weighted]:
    """Return the losses of a config."""
    return [_weighted(term) for term in terms]


def targets_of(
    task: type[Task], model: Any, tokenizer: Any, masking: MaskingSettings, counts: Path | None, seed: int
) -> Targets | None:
    """Return which tokens are predicted in training for a task; None where labels are given.

    Args:
        task: the dataset's task.
        model: the model.
        tokenizer: its tokenizer.
        masking: how tokens are masked.
        counts: an artifact of `count_tokens`; not needed where the smoothing is 0.
        seed: seed of the draws.
    """
    if not task.masked:
        return None
    occurrences = pq.read_table(counts / COUNTS)["count"].to_numpy() if counts else None
    return token_targets(model, tokenizer, seed, counts=occurrences, **masking.model_dump())


def _weighted(term: TermSettings) -> Weighted:
    loss = catalog.resolve("losses", term.loss)(**term.options)
    projection = term.projection_settings
    places = {name: getattr(term, name) for name in ("layers", "modules") if hasattr(term, name)}
    return Weighted(
        loss,
        term.weight,
        positions=term.positions,
        projection=Projection(**projection.model_dump()) if projection else None,
        name=term.loss,
        teacher=term.taught_by,
        **places,
    )
