"""`finetune`: a model trained on a task with its labels."""

from pydantic import Field

from kdpipe.config.settings.base import DatasetName, ModelName, StageSettings
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.config.settings.training import Training, training_settings


class FinetuneSettings(StageSettings):
    """Training without a teacher.

    Args:
        model: the model to start from.
        dataset: the task's dataset.
        masking: how targets are chosen, for language-modelling datasets.
        freeze: globs of names of parameters that stay as they are.
        training: fields of `TrainingArguments`.
    """

    model: ModelName
    dataset: DatasetName
    masking: MaskingSettings = MaskingSettings()
    freeze: tuple[str, ...] = ()
    training: Training = Field(default_factory=lambda: training_settings()())
