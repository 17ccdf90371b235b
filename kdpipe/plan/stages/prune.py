"""`prune`: a smaller model, by sparsity or by one shape for all blocks."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from kdpipe.config.settings.base import ModelName, StageSettings
from kdpipe.config.settings.bounds import MANY, Count
from kdpipe.config.settings.explanation import mistake
from kdpipe.config.settings.importance import ImportanceSettings

SHAPE = ("heads", "layers", "intermediate_size", "embedding_rank")


class PruneSettings(StageSettings):
    """A model without the heads and neurons that matter least.

    Args:
        model: the model to prune.
        sparsity: the share of its unpruned ancestor's heads, and of its neurons, that goes.
        heads: heads of every block.
        layers: blocks, the lowest.
        intermediate_size: neurons of every block's feed-forward layer.
        embedding_rank: rank of the word embeddings.
        importance: how units are ranked; by default a pruned model's are as they were, and others' are ranked
            with the defaults.
        compat: `paper`, or `code` to drop the bias behind an attention or a feed-forward layer that has lost
            all units, as MiniDisc's published code does; what is pruned of the model drops it, too.
    """

    model: ModelName
    sparsity: float | None = Field(default=None, ge=0, lt=1)
    heads: int | None = Field(default=None, ge=0, le=MANY)
    layers: Count | None = None
    intermediate_size: int | None = Field(default=None, ge=0, le=MANY)
    embedding_rank: Count | None = None
    importance: ImportanceSettings | None = None
    compat: Literal["paper", "code"] = "paper"

    @property
    def source(self) -> str:
        """The model whose units are ranked."""
        return self.model

    @property
    def shape(self) -> dict[str, int]:
        """What is given of a uniform shape."""
        return {name: value for name in SHAPE if (value := getattr(self, name)) is not None}

    @property
    def needs_ranks(self) -> bool:
        """Whether some units of a kind go and others stay."""
        return self.sparsity is not None or self.heads is not None or self.intermediate_size is not None

    def references(self) -> Iterator[tuple[str, Literal["model", "dataset"], str]]:
        """Yield (field, kind, name) of each model and dataset that these settings name."""
        yield from super().references()
        if self.importance is not None:
            yield from self.importance.references()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.sparsity is None) == (not self.shape):
            raise mistake(
                ("sparsity",), f"expected either this or a uniform shape: some of {', '.join(SHAPE)}"
            )
        if self.importance is not None and not self.needs_ranks:
            raise mistake(("importance",), "no heads and no neurons are chosen; remove this")
        return self
