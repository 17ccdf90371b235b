"""`score_importance`: how important the heads and neurons of a model are."""

from typing import Any, Literal

from kdpipe.config.settings.base import Settings
from kdpipe.plan.entries import Dataset
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import IMPORTANCE
from kdpipe.plan.running import RunningStage
from kdpipe.plan.sizes import LEARNING, activations
from kdpipe.plan.stage import Job


class ScoreImportanceSettings(Settings):
    """How a model's heads and neurons are scored.

    Args:
        criterion: its name in the catalog.
        split: the split that is read.
        batches: how many batches are read; null for all.
        batch_size: examples of a batch.
        reduction: whether absolute values are taken of a batch's mean gradient or of each example's.
        seed: seed of the order of examples and of random scores.
    """

    criterion: str
    split: str
    batches: int | None
    batch_size: int
    reduction: Literal["batch", "example"]
    seed: int


class ScoreImportance(RunningStage[ScoreImportanceSettings]):
    """Score a model's heads and neurons by how much a dataset's loss needs them."""

    settings = ScoreImportanceSettings
    wildcards = ("scored", "dataset", "key")
    kind = IMPORTANCE
    only_read = True
    passes = LEARNING

    def settings_of(self, graph: Graph, *names: str) -> ScoreImportanceSettings:
        model, dataset, key = names
        return graph.importances[model, dataset, key]

    def kept_bytes(self, job: Job, shape: dict[str, int], dataset: Dataset) -> int:
        settings: Any = job.settings["settings"]
        return activations(shape, settings.batch_size, dataset.max_length)
