"""`pretrain`: a small model and its WordPiece tokenizer from scratch."""

from typing import Self

from pydantic import Field, model_validator

from kdpipe.config.settings.architecture import Architecture
from kdpipe.config.settings.base import DatasetName, StageSettings
from kdpipe.config.settings.bounds import MANY
from kdpipe.config.settings.explanation import mistake
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.config.settings.training import Training, training_settings


class PretrainSettings(StageSettings):
    """Masked language modelling from scratch.

    Args:
        dataset: a language-modelling dataset; the tokenizer is trained on its training split.
        architecture: the model's family and shape.
        vocab_size: entries of the WordPiece vocabulary, special tokens included.
        masking: how targets are chosen; uniformly by default, as BERT does.
        training: fields of `TrainingArguments`.
    """

    dataset: DatasetName
    architecture: Architecture
    vocab_size: int = Field(default=8000, ge=64, le=MANY)
    masking: MaskingSettings = MaskingSettings(smoothing=0)
    training: Training = Field(default_factory=lambda: training_settings()())

    @model_validator(mode="after")
    def _fits_in_memory(self) -> Self:
        what = self.architecture.check_weights(self.vocab_size)
        if what:
            raise mistake(("vocab_size",), what)
        return self
