"""`distill`: a student trained against a teacher."""

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from kdpipe.config.settings.base import ModelName, Unavailable
from kdpipe.config.settings.distillation import Distillation
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.plan.distillation import DistillationStage
from kdpipe.plan.entries import Facts
from kdpipe.plan.model_stage import Known
from kdpipe.plan.training import trained_facts


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
        cache_precision: how cached signals are stored; logits are always float32. `bfloat16` has fewer digits
            than `float16`, and holds numbers as large as `float32` does.
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
        return self.student

    @field_validator("teacher", mode="before")
    @classmethod
    def _one_teacher(cls, value: object) -> object:
        if isinstance(value, list):
            raise PydanticCustomError("unavailable", "several teachers are not available in this version")
        return value


class Distill(DistillationStage[DistillSettings]):
    """Train a student against a teacher, run beside it or cached."""

    settings = DistillSettings
    starts_from = "student"

    def facts(self, name: str, settings: DistillSettings, known: Known) -> Facts:
        return trained_facts(settings.student, settings.dataset, known)
