"""`importance`: how the heads and neurons of a model are ranked."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from kdpipe.config.settings.base import DatasetName, EntryOf, ModelName, Settings, StageSettings
from kdpipe.config.settings.bounds import Count, Seed


class ImportanceSettings(Settings):
    """Which units of a model are important, and by what data.

    Args:
        model: the model that is scored: by default the one that loses units, or an ancestor that it was
            trained from and whose units it still has all.
        dataset: the dataset whose loss is looked at; by default that of the model, or of its nearest ancestor
            that has one.
        criterion: its name in the catalog.
        split: the split that is read, which has labels and is no test split.
        batches: how many batches are read, the first in the order of the seed; null for all.
        batch_size: examples of a batch.
        reduction: whether absolute values are taken of a batch's mean gradient or of each example's.
        seed: seed of the order of examples and of random scores; by default the config's.
    """

    model: ModelName | None = None
    dataset: DatasetName | None = None
    criterion: Annotated[str, EntryOf("criteria")] = "mask_gradient"
    split: str = "train"
    batches: Count | None = 64
    batch_size: Count = 32
    reduction: Literal["batch", "example"] = "batch"
    seed: Seed | None = None

    def references(self) -> Iterator[tuple[str, Literal["model", "dataset"], str]]:
        """Yield model and dataset, as the settings of a stage yield theirs."""
        if self.model is not None:
            yield "importance", "model", self.model
        if self.dataset is not None:
            yield "importance", "dataset", self.dataset


class RankedSettings(StageSettings):
    """What the stages share that remove heads and neurons; each has `importance` at its own place."""

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

    def references(self) -> Iterator[tuple[str, Literal["model", "dataset"], str]]:
        yield from super().references()
        if self.importance is not None:
            yield from self.importance.references()
