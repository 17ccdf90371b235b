"""`distill`: a student trained against a teacher."""

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from kdpipe.config.settings.base import ModelName, Unavailable
from kdpipe.config.settings.distillation import Distillation
from kdpipe.config.settings.masking import MaskingSettings


class DistillSettings(Distillation):
    """Knowledge distillation.

    Args:
        teacher: the model whose outputs the student learns.
        student: the model to start from.
        dataset: the dataset both read.
        losses: the loss terms; the loss is their weighted sum.
        masking: how targets are chosen, for language-modelling datasets.
        freeze: globs of names of student parameters that stay as they are.
        cache: whether the teacher's signals are computed once and stored; `auto` does so for task data.
        cache_precision: how cached signals are stored; logits are always float32.
        training: fields of `TrainingArguments`.
    """

    student: ModelName
    masking: MaskingSettings = MaskingSettings()
    freeze: tuple[str, ...] = ()
    knowledge: Unavailable = None
    interchange: Unavailable = None
    sampling: Unavailable = None
    ensemble: Unavailable = None

    @property
    def learner(self) -> str:
        """The model that is trained starts as this one."""
        return self.student

    @field_validator("teacher", mode="before")
    @classmethod
    def _one_teacher(cls, value: object) -> object:
        if isinstance(value, list):
            raise PydanticCustomError("unavailable", "several teachers are not available in this version")
        return value
