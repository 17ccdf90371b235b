"""Training on several datasets together: which datasets, and how often a batch is of each."""

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from kdpipe.config.settings.base import Settings, StageSettings, TrainingData
from kdpipe.config.settings.explanation import mistake


class SamplingSettings(Settings):
    """How often a batch is of each dataset.

    Args:
        exponent: of the number of a dataset's rows, to which its share of the batches is proportional: 1 for
            shares as large as the datasets, 0 for equal shares.
    """

    exponent: float = Field(default=1.0, ge=0, le=10)


class SeveralDatasets(StageSettings):
    """What a training may be asked that is on several datasets; each stage defines these settings."""

    if TYPE_CHECKING:
        dataset: TrainingData
        sampling: SamplingSettings | None

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets, in their order."""
        return named(self.dataset)

    @property
    def exponent(self) -> float:
        """The exponent of the sampling."""
        return (self.sampling or SamplingSettings()).exponent

    @model_validator(mode="after")
    def _samples_several(self) -> Self:
        if self.sampling and len(self.datasets) < 2:
            what = "chooses among several datasets, and there is one; remove this, or give null for a default"
            raise mistake(("sampling",), what)
        return self


def named(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return names that a setting gives as one name or as several."""
    return (value,) if isinstance(value, str) else value
