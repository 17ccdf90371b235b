"""`importance`: how the heads and neurons of a model are ranked."""

from typing import TYPE_CHECKING, Annotated, Literal

from kdpipe.config.settings.base import (
    EntryOf,
    ModelName,
    References,
    Settings,
    StageSettings,
    TrainingData,
)
from kdpipe.config.settings.bounds import Count, Seed
from kdpipe.config.settings.several import named


class ImportanceSettings(Settings):
    """Which units of a model are important, and by what data.

    Args:
        model: the model that is scored; by default the model that loses units, or an ancestor from which it
            was trained without a loss of units.
        dataset: the dataset of the loss, or a list of datasets, which count alike; by default the datasets of
            the model, or of its nearest ancestor with a dataset.
        criterion: its name in the catalog.
        split: the split that is read; it has labels and is no test split.
        batches: number of batches that are read, the first in the order of the seed; null for all.
        batch_size: examples of a batch.
        reduction: whether the absolute value of a batch's mean gradient or of each example's gradient counts.
        seed: seed of the order of examples and of random scores; by default the config's.
    """

    model: ModelName | None = None
    dataset: TrainingData | None = None
    criterion: Annotated[str, EntryOf("criteria")] = "mask_gradient"
    split: str = "train"
    batches: Count | None = 64
    batch_size: Count = 32
    reduction: Literal["batch", "example"] = "batch"
    seed: Seed | None = None

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that are given, in their order."""
        return named(self.dataset or ())


class RankedSettings(StageSettings):
    """What stages that remove heads and neurons share; each stage defines its `importance`."""

    if TYPE_CHECKING:
        importance: ImportanceSettings | None

    @property
    def source(self) -> str:
        """The model whose units are ranked."""
        raise NotImplementedError

    @property
    def needs_ranks(self) -> bool:
        """Whether some units of a kind go and others stay."""
        return True

    def references(self) -> References:
        yield from super().references()
        if self.importance is not None:
            yield from (("importance", kind, name) for _, kind, name in self.importance.references())
