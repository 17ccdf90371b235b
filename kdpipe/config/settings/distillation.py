"""What `distill` and `schedule` share: a teacher, loss terms, and whether the teacher is run once."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field

from kdpipe.anatomy.signals import SIGNAL_KINDS, StoredPrecision
from kdpipe.config.settings.base import DatasetName, ModelName, StageSettings
from kdpipe.config.settings.losses import LossTerm, LossTerms
from kdpipe.config.settings.training import Training, training_settings


def _read_switch(value: object) -> object:
    # Who asks whether may say it with `true` or `false`.
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


CacheMode = Literal["auto", "on", "off"]
Cache = Annotated[CacheMode, BeforeValidator(_read_switch, json_schema_input_type=CacheMode | bool)]


class Distillation(StageSettings):
    """Training against a teacher.

    Args:
        teacher: the model whose outputs are learned.
        dataset: the dataset that is read.
        losses: the loss terms; the loss is their weighted sum.
        cache: whether the teacher's signals are computed once and stored; `auto` does so for task data.
        cache_precision: how cached signals are stored; logits are always float32. `bfloat16` has fewer digits
            than `float16`, and holds numbers as large as `float32` does.
        training: fields of `TrainingArguments`.
    """

    teacher: ModelName
    dataset: DatasetName
    losses: LossTerms
    cache: Cache = "auto"
    cache_precision: StoredPrecision = "float16"
    training: Training = Field(default_factory=lambda: training_settings()())

    @property
    def lessons(self) -> Mapping[str, Self]:
        """The settings as each teacher alone has them, by the setting that names the teacher."""
        return {"teacher": self}

    @property
    def taught(self) -> tuple[LossTerm, ...]:
        """The terms that are computed and read something of a teacher."""
        return tuple(term for term in self.losses if term.needs_teacher and term.weight)

    @property
    def reads_head(self) -> bool:
        """Whether a term reads what the teacher's head gives, which is then for the dataset."""
        return any(SIGNAL_KINDS[kind].needs_head for term in self.taught for kind in term.teacher_kinds)

    @property
    def learner(self) -> str:
        """The model whose weights the trained model starts from."""
        return self.teacher
