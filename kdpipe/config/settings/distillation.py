"""What `distill` and `schedule` share: teachers, loss terms, and whether teachers are run once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from kdpipe.anatomy.signals import SIGNAL_KINDS, StoredPrecision
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.base import (
    ByColumn,
    NotEmpty,
    Reference,
    Settings,
    StageSettings,
    TrainingData,
)
from kdpipe.config.settings.bounds import MANY
from kdpipe.config.settings.explanation import mistake
from kdpipe.config.settings.losses import LossTerm, LossTerms
from kdpipe.config.settings.several import named
from kdpipe.config.settings.training import Training, training_settings
from kdpipe.errors import quoted, suggest


def _read_switch(value: object) -> object:
    # Who asks whether may say it with `true` or `false`.
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


CacheMode = Literal["auto", "on", "off"]
Cache = Annotated[CacheMode, BeforeValidator(_read_switch, json_schema_input_type=CacheMode | bool)]


def _read_teacher(value: Any) -> Any:
    """Read teachers by a column, so that a mistake in them is told at its place."""
    if isinstance(value, dict) and {*value} & {"column", "models"} and not {*value} - {"column", "models"}:
        return ByColumn.model_validate(value)
    if isinstance(value, dict) and not all(isinstance(model, str) for model in value.values()):
        raise ValueError(f"expected a model for each dataset, or {{column, models}}, found {quoted(value)}")
    return value


Teachers = Annotated[
    str | tuple[str, ...] | ByColumn | dict[str, str],
    NotEmpty,
    BeforeValidator(_read_teacher),
    Reference("model"),
]


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
    """Training against one teacher or several, on one dataset or several.

    Args:
        teacher: the model whose outputs are learned, a list of models, or a model for each dataset, or for
            each value of a column.
        dataset: the dataset that is read, or a list of datasets.
        losses: the loss terms; the loss is their weighted sum.
        cache: whether the teacher's signals are computed once and stored; `auto` does so for task data.
        cache_precision: how cached signals are stored; logits are always float32. `bfloat16` has fewer digits
            than `float16`, and holds numbers as large as `float32` does.
        training: fields of `TrainingArguments`.
    """

    teacher: Teachers | None = None
    dataset: TrainingData
    losses: LossTerms
    cache: Cache = "auto"
    cache_precision: StoredPrecision = "float16"
    training: Training = Field(default_factory=lambda: training_settings()())

    @model_validator(mode="after")
    def _of_its_teachers(self) -> Self:
        for find in (self._misread_datasets, self._misread_teachers, self._misread_runs):
            for where, what in find():
                raise mistake(where, what)
        return self

    def _misread_datasets(self) -> Findings:
        """Yield which terms and teachers are for no dataset, and which datasets have none of these."""
        for index, term in enumerate(self.losses):
            if term.dataset not in (None, *self.datasets):
                hint = suggest(term.dataset, self.datasets)
                yield ("losses", index, "dataset"), f"{term.dataset!r} is no dataset here; {hint}"
        for name in self.teacher if isinstance(self.teacher, dict) else ():
            if name not in self.datasets:
                yield ("teacher", name), f"{name!r} is no dataset here; {suggest(name, self.datasets)}"
        for name in self.datasets:
            taught = [term.loss for _, term in self.terms_on(name) if term.needs_teacher]
            if taught and not self.teachers_of(name):
                remedy = "name one, or give the term the `dataset` that it is for"
                yield ("teacher",), f"{name!r} has no teacher, which {taught[0]} reads; {remedy}"
            if len(self.datasets) > 1 and not any(term.weight for _, term in self.terms_on(name)):
                yield ("losses",), f"no loss term with a weight is for {name!r}; give it one"

    def _misread_teachers(self) -> Findings:
        """Yield which terms name or lack a teacher wrongly, and which teachers no term reads."""
        several = len(self.teachers) > 1 and not isinstance(self.teacher, dict | ByColumn)
        for index, term in enumerate(self.losses):
            place = ("losses", index)
            if term.teacher is not None and not term.needs_teacher:
                yield (*place, "teacher"), f"{term.loss} reads no teacher; remove this"
            elif term.teacher is not None and isinstance(self.teacher, dict):
                yield (*place, "teacher"), "each dataset has its own teacher; give the term a `dataset`"
            elif term.teacher is not None and isinstance(self.teacher, ByColumn):
                what = f"{self.teacher.column!r} says which teacher is read of a row; remove this"
                yield (*place, "teacher"), what
            elif term.teacher not in (None, *self.teachers):
                hint = suggest(term.teacher, self.teachers)
                yield (*place, "teacher"), f"{term.teacher!r} is no teacher here; {hint}"
            elif several and term.needs_teacher and term.teacher is None and not term.takes_mean:
                what = f"{' and '.join(term.teacher_kinds)} are read of one teacher"
                others = f"or another of the {len(self.teachers)}"
                yield place, f"{what}; give `teacher: {self.teachers[0]}`, {others}"
        read = {lesson.teacher for lesson in self.lessons if lesson.taught}
        for name in self.teachers if len(self.teachers) > 1 else ():
            if name not in read:
                yield ("teacher",), f"no loss term with a weight reads {name!r}; remove it"

    def _misread_runs(self) -> Findings:
        """Yield which terms read a counterfactual run that there is not."""
        for index, term in enumerate(self.losses):
            if term.run == "base":
                continue
            if not term.needs_teacher:
                what = (
                    f"{term.loss} compares with labels, which a counterfactual run does not have; remove this"
                )
                yield ("losses", index, "run"), what
            elif getattr(term, "probability_shift", False):
                what = "goes by labels, which a counterfactual run does not have; remove this"
                yield ("losses", index, "probability_shift"), what
            elif term.weight and getattr(self, "interchange", None) is None:
                what = "a counterfactual run needs `interchange` in the node, which `distill` takes"
                yield ("losses", index, "run"), f"{what}, such as `interchange: {{alignment: middle}}`"

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets, in their order."""
        return named(self.dataset)

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers, in their order."""
        if self.teacher is None:
            return ()
        if isinstance(self.teacher, ByColumn):
            return tuple(dict.fromkeys(self.teacher.models.values()))
        models = self.teacher.values() if isinstance(self.teacher, dict) else named(self.teacher)
        return tuple(dict.fromkeys(models))

    def teachers_of(self, dataset: str) -> tuple[str, ...]:
        """Return the teachers on a dataset."""
        if isinstance(self.teacher, dict):
            return (self.teacher[dataset],) if dataset in self.teacher else ()
        return self.teachers

    def terms_on(self, dataset: str) -> Iterator[tuple[int, LossTerm]]:
        """Yield the terms that are for a dataset, after their places among the losses."""
        for index, term in enumerate(self.losses):
            if term.dataset in (None, dataset):
                yield index, term

    @property
    def lessons(self) -> "tuple[Lesson, ...]":
        """What is learned of each teacher on each dataset."""
        return tuple(Lesson(self, name, data) for data in self.datasets for name in self.teachers_of(data))

    @property
    def intervenes(self) -> bool:
        """Whether a term that is computed reads a counterfactual run."""
        return any(lesson.intervenes for lesson in self.lessons)

    @property
    def learner(self) -> str:
        """The model whose weights the trained model starts from."""
        return self.teachers[0]


@dataclass(frozen=True)
class Lesson:
    """What is learned of one teacher on one dataset.

    Args:
        settings: the settings of the distillation.
        teacher: the teacher.
        dataset: the dataset that teacher and student read.
    """

    settings: Distillation
    teacher: str
    dataset: str

    @property
    def given(self) -> bool:
        """Whether a folder of stored signals stands for the teacher."""
        return getattr(self.settings, "given", None) is not None

    @property
    def pair(self) -> tuple[str, str]:
        """The teacher and the dataset."""
        return self.teacher, self.dataset

    @property
    def terms(self) -> Iterator[tuple[int, LossTerm]]:
        """The terms after their places among the losses, without terms on other teachers or datasets."""
        for index, term in self.settings.terms_on(self.dataset):
            if term.teacher in (None, self.teacher):
                yield index, term

    @property
    def taught(self) -> tuple[LossTerm, ...]:
        """The terms that are computed and read something of the teacher."""
        return tuple(term for _, term in self.terms if term.needs_teacher and term.weight)

    @property
    def intervenes(self) -> bool:
        """Whether a term that is computed reads the counterfactual run."""
        return any(term.run == "counterfactual" for term in self.taught)

    @property
    def reads_head(self) -> bool:
        """Whether a term reads what the teacher's head gives, which is then for the dataset."""
        return any(SIGNAL_KINDS[kind].needs_head for term in self.taught for kind in term.teacher_kinds)

    @property
    def learner(self) -> str:
        """The student."""
        return self.settings.learner

    @property
    def rows(self) -> "tuple[str, tuple[str, ...]] | None":
        """The column by which teachers are chosen, and its values with this teacher; None for all rows."""
        by = self.settings.teacher
        if not isinstance(by, ByColumn):
            return None
        return by.column, tuple(value for value, model in by.models.items() if model == self.teacher)
