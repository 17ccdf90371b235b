"""`distill`: a student trained against a teacher."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from kdpipe.config.settings.base import DatasetName, ModelName, StageSettings, Unavailable
from kdpipe.config.settings.losses import LossTerms
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.config.settings.training import Training, training_settings


def _read_switch(value: object) -> object:
    # YAML 1.1 reads a bare `on` or `off` as a boolean.
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


CacheMode = Literal["auto", "on", "off"]
Cache = Annotated[CacheMode, BeforeValidator(_read_switch, json_schema_input_type=CacheMode | bool)]


class DistillSettings(StageSettings):
    """Knowledge distillation.

    Args:
        teacher: the model whose outputs the student learns.
        student: the model to start from.
        dataset: the dataset both read.
        losses: the loss terms; the loss is their weighted sum.
        masking: how targets are chosen, for language-modelling datasets.
        freeze: globs of names of student parameters that stay as they are.
        cache: whether the teacher's signals are computed once and stored; `auto` does so for task data.
        cache_precision: how cached hidden states are stored; logits are always float32.
        training: fields of `TrainingArguments`.
    """

    teacher: ModelName
    student: ModelName
    dataset: DatasetName
    losses: LossTerms
    masking: MaskingSettings = MaskingSettings()
    freeze: tuple[str, ...] = ()
    cache: Cache = "auto"
    cache_precision: Literal["float16", "float32"] = "float16"
    training: Training = Field(default_factory=lambda: training_settings()())
    knowledge: Unavailable = None
    interchange: Unavailable = None
    sampling: Unavailable = None
    ensemble: Unavailable = None

    @field_validator("teacher", mode="before")
    @classmethod
    def _one_teacher(cls, value: object) -> object:
        if isinstance(value, list):
            raise PydanticCustomError("unavailable", "several teachers are not available in this version")
        return value
