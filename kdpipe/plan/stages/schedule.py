"""`schedule`: a teacher assistant between a teacher and a much smaller student."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kdpipe.anatomy.units import leaves_fewer, leaves_no_more
from kdpipe.config.mistakes import Findings, SettingError
from kdpipe.config.settings.base import DatasetName, EntryOf, ModelName, NotEmpty, Settings
from kdpipe.config.settings.bounds import MANY
from kdpipe.config.settings.distillation import Distillation, Lesson
from kdpipe.config.settings.explanation import mistake
from kdpipe.config.settings.importance import ImportanceSettings, RankedSettings
from kdpipe.config.settings.losses import LossTerms, term_settings
from kdpipe.metrics import LOWER_IS_BETTER
from kdpipe.plan.distillation import DistillationStage
from kdpipe.plan.entries import Facts, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.heads import heads_of_sizes
from kdpipe.plan.model_stage import CHOSEN, Known, Need
from kdpipe.plan.pruning import PruningStage, at_sparsity, check_family, check_ranking, lack, units_of
from kdpipe.plan.suitability import no_metric

GRID = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


def _sparse_losses() -> LossTerms:
    """Return the published loss: the mean of soft labels and of hidden states."""
    terms = (
        {"loss": "soft_cross_entropy", "weight": 0.5, "temperature": 1},
        {"loss": "hidden_mse", "weight": 0.5, "layers": "sixths"},
    )
    return tuple(term_settings(str(term["loss"])).model_validate(term) for term in terms)


class ScheduleSettings(Distillation, RankedSettings):
    """An assistant chosen among sizes that are trained together (MiniDisc).

    Args:
        teacher: the model whose outputs all sizes learn, and whose units they are made of.
        dataset: the task's dataset.
        method: how the assistant is chosen, by its name in the catalog.
        target: sparsity of the student that the assistant is to teach.
        tradeoff: what a sparsity of 1 counts against the metric.
        sparsities: the sizes that are trained, as shares of the unpruned teacher that go.
        metric: the metric of the choice, on the validation split; by default the dataset's first.
        compat: `paper`, or `code` to choose as the published code does: sizes as small as the student or
            smaller are candidates, too, and stand for the student's, which is then one of `sparsities`.
            Biases are dropped as by `prune`. A size as large as the teacher is trained, too. So its second
            stage, which trains the assistant's own size and all below again for the student's sake, is a
            `schedule` of the assistant with `tradeoff: 100` and a size beyond the target.
        importance: how the teacher's units are ranked; by default a pruned teacher's are as they were, and
            others' are ranked with the defaults.
        losses: the loss terms, the same for all sizes; by default MiniDisc's, half of each.
        cache: whether the teacher's signals are computed once and stored.
        cache_precision: how cached signals are stored; logits are always float32. `bfloat16` has fewer digits
            than `float16`, and holds numbers as large as `float32` does.
        training: fields of `TrainingArguments`.
    """

    teacher: ModelName
    dataset: DatasetName
    method: Annotated[str, EntryOf("methods")] = "minidisc"
    target: float = Field(gt=0, lt=1)
    tradeoff: float = Field(default=0.2, ge=0, le=MANY)
    sparsities: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], NotEmpty] = GRID
    metric: str | None = None
    compat: Literal["paper", "code"] = "paper"
    importance: ImportanceSettings | None = None
    losses: LossTerms = Field(default_factory=_sparse_losses)

    @property
    def source(self) -> str:
        return self.teacher

    @model_validator(mode="after")
    def _candidates(self) -> Self:
        if len(set(self.sparsities)) < len(self.sparsities):
            raise mistake(("sparsities",), "names a sparsity twice")
        grid = ", ".join(f"{sparsity:g}" for sparsity in self.sparsities)
        if self.compat == "paper" and min(self.sparsities) >= self.target:
            what = f"none of {grid} is below the target {self.target:g}: there is no size for an assistant"
            raise mistake(("sparsities",), what)
        smaller = max(self.sparsities) > self.target
        if self.compat == "code" and smaller and self.target not in self.sparsities:
            what = f"expected the target {self.target:g}, which smaller sizes stand for, among {grid}"
            raise mistake(("sparsities",), what)
        return self


class Schedule(PruningStage[ScheduleSettings], DistillationStage[ScheduleSettings]):
    """Train models of several sizes together against a teacher; write the best assistant for a student."""

    settings = ScheduleSettings
    chooses = True
    target = "target"

    def facts(self, name: str, settings: ScheduleSettings, known: Known) -> Facts:
        teacher = known.facts[settings.teacher]
        if teacher.heads:
            what = f"{settings.teacher!r} has a head for each of {', '.join(teacher.heads)}"
            raise SettingError("teacher", f"{what}; an assistant is made of a model with one")
        check_family("teacher", teacher, "sliced", "trained in several sizes")
        check_ranking(settings, teacher)
        units, target = units_of(teacher), settings.target
        if not leaves_fewer(target, units):
            what = f"expected more than the {lack(units)} that the teacher lacks, found {target:g}"
            raise SettingError("target", f"{what}: the student is to be smaller than its teacher")
        if settings.compat == "code":
            # Sizes as large as the teacher are trained, too, and the student stands for sizes below its own.
            sizes = [
                min(sparsity, target) for sparsity in settings.sparsities if leaves_no_more(sparsity, units)
            ]
        else:
            sizes = [
                sparsity
                for sparsity in settings.sparsities
                if sparsity < target and leaves_fewer(sparsity, units)
            ]
        units = at_sparsity(min(sizes), units) if sizes else units
        dataset = known.datasets[settings.dataset]
        labels = dataset.labels or None
        return replace(teacher, units=units, ranked=True, head=dataset.task, labels=labels)

    def checks(self, graph: Graph, node: Node) -> Findings:
        yield from super().checks(graph, node)
        settings = self.settings_of(graph, node.name)
        yield from heads_of_sizes(settings)
        dataset, metric = settings.dataset, graph.metric_of(settings)
        metrics = super().watched(graph.datasets[dataset].task)
        if metric not in metrics:
            yield ("metric",), no_metric([dataset], metric, metrics)
        elif metric in LOWER_IS_BETTER:
            what = f"sparsity counts for an assistant as {metric} counts against it; give another metric"
            yield ("metric",), what

    def reads_head(self, lesson: Lesson) -> bool:
        return True

    def watched(self, task: str) -> tuple[str, ...]:
        return ("tradeoff",)

    def options(self, graph: Graph, *names: str) -> dict[str, Settings]:
        settings = self.settings_of(graph, *names)
        return {"settings": settings.model_copy(update={"metric": graph.metric_of(settings)})}

    def needs(self, settings: ScheduleSettings) -> Iterator[tuple[str, Need]]:
        yield settings.dataset, Need("train", "is trained", labelled=False)
        yield settings.dataset, Need("validation", CHOSEN, labelled=True)

    def sizes(self, settings: ScheduleSettings) -> int:
        return len(settings.sparsities)
