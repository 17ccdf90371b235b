"""`measure`: which models are measured, and on which batches."""

from typing import Annotated

from pydantic import AfterValidator, Field

from kdpipe.config.settings.base import ModelNames, NotEmpty, Settings, refuse
from kdpipe.config.settings.bounds import MOST_THREADS, Size, Tokens

_DISTINCT = AfterValidator(
    refuse("expected each number once, found {}", lambda values: len({*values}) < len(values))
)


class LatencySettings(Settings):
    """The batches on which the latency of a model is measured: each number of texts with each length.

    Args:
        batch: texts of a batch.
        length: tokens of each text.
        threads: processor threads that the model runs with.
    """

    batch: Annotated[tuple[Size, ...], NotEmpty, _DISTINCT] = (1, 32)
    length: Annotated[tuple[Tokens, ...], NotEmpty, _DISTINCT] = (32, 128)
    threads: int = Field(default=1, ge=1, le=MOST_THREADS)


class MeasureSettings(Settings):
    """The models whose latency, memory and size on disk are measured.

    Args:
        models: the models; variables of the matrix run over all their values.
        latency: the batches, as `kdpipe describe latency` tells; by default 1 and 32 texts of 32 and 128
            tokens.
    """

    models: ModelNames
    latency: LatencySettings = LatencySettings()
