"""`distill`: a student trained against one teacher or several."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, model_validator

from kdpipe.anatomy.families import QUESTION_ANSWERING, family_facts
from kdpipe.anatomy.knowledge import Selection
from kdpipe.config.mistakes import Findings, SettingError
from kdpipe.config.settings.base import ByColumn, ModelName, Settings, refuse
from kdpipe.config.settings.distillation import Distillation, EnsembleSettings, Lesson
from kdpipe.config.settings.explanation import mistake
from kdpipe.config.settings.interchange import InterchangeSettings
from kdpipe.config.settings.knowledge import Knowledge
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.config.settings.schedules import TemperatureSettings
from kdpipe.config.settings.several import SamplingSettings, SeveralDatasets
from kdpipe.errors import KdpipeError, not_installed
from kdpipe.plan.distillation import DistillationStage, is_cached
from kdpipe.plan.entries import UNKNOWN, Facts, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import Known
from kdpipe.plan.saved.knowledge import SUMS, read_knowledge
from kdpipe.plan.suitability import check_quantizable
from kdpipe.plan.training import trained_facts

ONE_SCALE = refuse(
    "torchao does not simulate one scale for a layer; give true, or quantize the trained model",
    lambda value: not value,
)


class SimulatedSettings(Settings):
    """Training with simulated int8; the student then has int8 layers.

    Args:
        per_channel: that each output of a layer has a scale of its own; one scale for all is not simulated.
    """

    per_channel: Annotated[bool, AfterValidator(ONE_SCALE)] = True


class DistillSettings(SeveralDatasets, Distillation):
    """Knowledge distillation.

    Args:
        teacher: the model whose outputs the student learns, a list of models, or a model for each dataset or
            for each value of a column ({column, models}).
        student: the model to start from.
        dataset: the dataset both read, or a list of datasets; the student has a head for each.
        sampling: how often a batch is of each of several datasets.
        losses: the loss terms; the loss is their weighted sum.
        masking: how targets are chosen, for language-modelling datasets.
        ensemble: how losses on logits read several teachers as one.
        knowledge: how much of the teacher's states is distilled; by default all that losses read.
        interchange: the counterfactual run that terms with `run: counterfactual` read.
        quantize: the student learns with weights and activations that are rounded to int8, and is saved with
            int8 layers; {} is enough.
        freeze: globs of names of student parameters that stay as they are.
        cache: whether the teacher's signals are computed once and stored; `auto` does so for task data.
        cache_precision: how cached signals are stored; logits are always float32. `bfloat16` has fewer digits
            than `float16`, and holds numbers as large as `float32` does.
        training: fields of `TrainingArguments`.
    """

    student: ModelName
    masking: MaskingSettings = MaskingSettings()
    freeze: tuple[str, ...] = ()
    ensemble: EnsembleSettings | None = None
    sampling: SamplingSettings | None = None
    knowledge: Knowledge | None = None
    interchange: InterchangeSettings | None = None
    quantize: SimulatedSettings | None = None

    @property
    def learner(self) -> str:
        return self.student

    @property
    def given(self) -> Path | None:
        """The folder of stored signals that stands for the teacher; None where a model teaches."""
        return self.knowledge.folder if self.knowledge else None

    @property
    def teachers(self) -> tuple[str, ...]:
        # No model has such a name.
        return (f"knowledge of {self.given}",) if self.given else super().teachers

    @property
    def selection(self) -> Selection | None:
        """What is taken of the teachers' states; None for all."""
        return self.knowledge.selection(self.seed) if self.knowledge else None

    @property
    def unread(self) -> tuple[str, ...]:
        return () if self.intervenes else ("interchange",)

    @model_validator(mode="after")
    def _one_source_of_knowledge(self) -> Self:
        if self.given is None and self.teacher is None:
            raise mistake(("teacher",), "is required, or `knowledge: {from: FOLDER}` in its place")
        if self.given is not None and self.teacher is not None:
            raise mistake(("teacher",), "`knowledge: {from: FOLDER}` stands in its place; remove one of them")
        if self.given is not None and len(self.datasets) > 1:
            raise mistake(("dataset",), "a folder of stored signals is of one dataset, found several")
        if self.knowledge and self.knowledge.cached and self.cache == "off":
            raise mistake(("knowledge", "cached"), "says what is stored, and `cache: off` stores nothing")
        if self.given is not None and self.cache == "off":
            raise mistake(("cache",), "signals are stored in `knowledge.from`, and no teacher could run")
        return self

    @model_validator(mode="after")
    def _ensemble_of_its_teachers(self) -> Self:
        if self.ensemble is None:
            return self
        teachers, weights = len(self.teachers), self.ensemble.weights
        together = [term.needs_teacher and not term.teacher and bool(term.weight) for term in self.losses]
        if isinstance(self.teacher, dict | ByColumn) or teachers < 2 or not any(together):
            raise mistake(("ensemble",), "no loss term reads several teachers together; remove this")
        if weights and len(weights) != teachers:
            raise mistake(("ensemble", "weights"), f"expected {teachers}, one each, found {len(weights)}")
        for index, term in enumerate(self.losses):
            varies = isinstance(getattr(term, "temperature", None), TemperatureSettings)
            if self.ensemble.average == "probabilities" and varies and together[index]:
                what = "mean probabilities need one temperature; give a number, or `average: logits`"
                raise mistake(("losses", index, "temperature"), what)
        return self


class Distill(DistillationStage[DistillSettings]):
    """Train a student against its teachers, run beside it or cached."""

    settings = DistillSettings
    starts_from = "student"
    runs_int8 = ("teacher",)

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        folders, lessons = super().inputs(graph, *names), self.settings_of(graph, *names).lessons
        taught = [lesson for lesson in lessons if lesson.taught and not lesson.given]
        theirs = [graph.encoded(lesson.dataset, lesson.teacher) for lesson in taught]
        # A teacher with another tokenizer reads its own tokens; its stored logits of answers belong to these.
        read = {data for lesson, data in zip(taught, theirs, strict=True) if _reads_tokens(graph, lesson)}
        folders |= {"teacher_data": theirs} if read - {*folders["data"]} else {}
        settings = self.settings_of(graph, *names)
        in_context = settings.interchange is not None and settings.interchange.sources == "in_context"
        if in_context and settings.intervenes:
            dataset, *_ = settings.datasets
            folders["counts"] = [graph.layout.counts(dataset, graph.facts[names[0]].tokenizer)]
        return folders

    def files(self, graph: Graph, *names: str) -> list[Path]:
        settings = self.settings_of(graph, *names)
        file = settings.interchange.file if settings.interchange and settings.intervenes else None
        return [*([file] if file else []), *([settings.given / SUMS] if settings.given else [])]

    def in_small(self, settings: DistillSettings, factor: int, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Return the settings for a run in small, whose models have too few and too small heads for pairs."""
        small = super().in_small(settings, factor, sizes)
        if settings.interchange and not settings.interchange.named:
            small["interchange"] = {**small["interchange"], "alignment": "middle"}
        return small

    def folder_read(self, settings: DistillSettings) -> tuple[str, Path] | None:
        return ("knowledge", settings.given) if settings.given else None

    def facts(self, name: str, settings: DistillSettings, known: Known) -> Facts:
        if settings.given:
            [teacher] = settings.teachers
            known.facts[teacher] = UNKNOWN
            known.facts[teacher] = _stands_for_teacher(settings.given)
        student = trained_facts(settings.student, settings.datasets, known)
        if settings.quantize is None:
            return student
        check_quantizable("quantize", settings.student, student)
        if student.shape.family and not family_facts(student.shape.family)["simulated"]:
            what = f"{settings.student!r} is a {student.shape.family}, whose layers torchao does not simulate"
            raise SettingError("quantize", f"{what}; remove this, and quantize the trained model")
        return replace(student, quantized=True)

    def checks(self, graph: Graph, node: Node) -> Findings:
        yield from super().checks(graph, node)
        if self.settings_of(graph, node.name).quantize is not None and find_spec("torchao") is None:
            yield ("quantize",), not_installed("torchao", "ship")


def _stands_for_teacher(folder: Path) -> Facts:
    """Return what a folder of stored signals says of its teacher.

    Raises:
        SettingError: it is no such folder.
    """
    try:
        stored = read_knowledge(folder)
    except KdpipeError as error:
        raise SettingError("knowledge", str(error)) from None
    return Facts("", stored.shape, stored.task, labels=stored.labels)


def _reads_tokens(graph: Graph, lesson: Lesson) -> bool:
    return not is_cached(graph, lesson) or graph.datasets[lesson.dataset].task == QUESTION_ANSWERING
