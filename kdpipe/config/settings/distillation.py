"""What `distill` and `schedule` share: teachers, loss terms, and whether teachers are run once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from kdpipe.anatomy.signals import SIGNAL_KINDS, StoredPrecision
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.base import NotEmpty, OneDataset, Reference, Settings, StageSettings, refuse
from kdpipe.config.settings.bounds import MANY
from kdpipe.config.settings.explanation import mistake
from kdpipe.config.settings.losses import LossTerm, LossTerms
from kdpipe.config.settings.training import Training, training_settings
from kdpipe.errors import suggest


def _read_switch(value: object) -> object:
    # Who asks whether may say it with `true` or `false`.
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


CacheMode = Literal["auto", "on", "off"]
Cache = Annotated[CacheMode, BeforeValidator(_read_switch, json_schema_input_type=CacheMode | bool)]


BY_DATASET = refuse(
    "teachers by dataset or by column are not available in this version; give a model or a list of models",
    lambda value: isinstance(value, dict),
)
Teachers = Annotated[str | tuple[str, ...], NotEmpty, BeforeValidator(BY_DATASET), Reference("model")]


class EnsembleSettings(Settings):
    """How losses on logits read several teachers as one.

    Args:
        average: `logits`, or the `probabilities` that the temperature of the loss softens; outputs of a
            regression are averaged as they are.
        weights: how much each teacher counts, in the order of `teacher`; by default equally.
    """

    average: Literal["logits", "probabilities"] = "logits"
    weights: Annotated[tuple[Annotated[float, Field(gt=0, le=MANY)], ...], NotEmpty] | None = None


class Distillation(StageSettings):
    """Training against one teacher or several.

    Args:
        teacher: the model whose outputs are learned, or a list of models.
        dataset: the dataset that is read.
        losses: the loss terms; the loss is their weighted sum.
        cache: whether the teacher's signals are computed once and stored; `auto` does so for task data.
        cache_precision: how cached signals are stored; logits are always float32. `bfloat16` has fewer digits
            than `float16`, and holds numbers as large as `float32` does.
        training: fields of `TrainingArguments`.
    """

    teacher: Teachers
    dataset: OneDataset
    losses: LossTerms
    cache: Cache = "auto"
    cache_precision: StoredPrecision = "float16"
    training: Training = Field(default_factory=lambda: training_settings()())

    @model_validator(mode="after")
    def _of_its_teachers(self) -> Self:
        for where, what in self._misread():
            raise mistake(where, what)
        return self

    def _misread(self) -> Findings:
        """Yield which terms name or lack a teacher wrongly, and which teachers no term reads."""
        several = len(self.teachers) > 1
        for index, term in enumerate(self.losses):
            place = ("losses", index)
            if term.teacher is not None and not term.needs_teacher:
                yield (*place, "teacher"), f"{term.loss} reads no teacher; remove this"
            elif term.teacher not in (None, *self.teachers):
                hint = suggest(term.teacher, self.teachers)
                yield (*place, "teacher"), f"{term.teacher!r} is no teacher here; {hint}"
            elif several and term.needs_teacher and term.teacher is None and not term.takes_mean:
                what = f"{' and '.join(term.teacher_kinds)} are read of one teacher"
                others = f"or another of the {len(self.teachers)}"
                yield place, f"{what}; give `teacher: {self.teachers[0]}`, {others}"
        for lesson in self.lessons if several else ():
            if not lesson.taught:
                yield ("teacher",), f"no loss term with a weight reads {lesson.teacher!r}; remove it"

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers, in their order."""
        return (self.teacher,) if isinstance(self.teacher, str) else self.teacher

    @property
    def lessons(self) -> "tuple[Lesson, ...]":
        """What is learned of each teacher."""
        return tuple(Lesson(self, name) for name in self.teachers)

    @property
    def learner(self) -> str:
        """The model whose weights the trained model starts from."""
        return self.teachers[0]


@dataclass(frozen=True)
class Lesson:
    """What is learned of one teacher.

    Args:
        settings: the settings of the distillation.
        teacher: the teacher.
    """

    settings: Distillation
    teacher: str

    @property
    def terms(self) -> Iterator[tuple[int, LossTerm]]:
        """The terms after their places among the losses, without the terms that read another teacher."""
        for index, term in enumerate(self.settings.losses):
            if term.teacher in (None, self.teacher):
                yield index, term

    @property
    def taught(self) -> tuple[LossTerm, ...]:
        """The terms that are computed and read something of the teacher."""
        return tuple(term for _, term in self.terms if term.needs_teacher and term.weight)

    @property
    def reads_head(self) -> bool:
        """Whether a term reads what the teacher's head gives, which is then for the dataset."""
        return any(SIGNAL_KINDS[kind].needs_head for term in self.taught for kind in term.teacher_kinds)

    @property
    def dataset(self) -> str:
        """The dataset that teacher and student read."""
        return self.settings.dataset

    @property
    def learner(self) -> str:
        """The student."""
        return self.settings.learner
