"""`select`: a copy of the best of several models."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from kdpipe.anatomy.formats import TORCH, ExportFormat, exported
from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.units import UNIT_KINDS, fewest_gone
from kdpipe.config.mistakes import Findings, SettingError
from kdpipe.config.settings.base import DatasetName, ModelNames, References, Settings, StageSettings
from kdpipe.config.settings.choice import CONSTRAINTS, BestSettings, FastestSettings, SmallestSettings
from kdpipe.config.settings.explanation import mistake
from kdpipe.config.settings.measure import LatencySettings
from kdpipe.plan.entries import UNKNOWN, Facts, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import CHOSEN, Known, ModelStage, Need
from kdpipe.plan.suitability import needs_head, no_metric, no_split


class SelectSettings(StageSettings):
    """The choice of a model by its evaluation, its size and its speed.

    Args:
        among: the candidates.
        dataset: the dataset they are compared on.
        metric: the metric that decides; by default the first that the dataset has.
        split: the split that decides.
        format: the format whose scores, sizes and times count; the candidates are exported in it.
        smallest: the smallest candidate whose score is good enough is chosen.
        fastest: the fastest candidate whose score is good enough is chosen.
        best: the best candidate that is not too large is chosen; without any constraint, the best of all.
    """

    among: ModelNames
    dataset: DatasetName
    metric: str | None = None
    split: str = "validation"
    format: Literal["torch"] | ExportFormat = "torch"
    smallest: SmallestSettings | None = None
    fastest: FastestSettings | None = None
    best: BestSettings | None = None

    @property
    def constraint(self) -> str:
        """The name of the constraint that is given; "" without."""
        return next((name for name in CONSTRAINTS if getattr(self, name) is not None), "")

    @property
    def enough(self) -> SmallestSettings | None:
        """When a score is good enough; None where the best score decides."""
        return self.smallest or self.fastest

    def references(self) -> References:
        yield from super().references()
        if self.enough is not None and self.enough.of is not None:
            yield f"{self.constraint}.of", "model", self.enough.of

    @model_validator(mode="after")
    def _one_constraint(self) -> Self:
        given = [name for name in CONSTRAINTS if getattr(self, name) is not None]
        if given[1:]:
            raise mistake((given[1],), f"a model is chosen by one constraint, found `{given[0]}` besides")
        return self


class Select(ModelStage[SelectSettings]):
    """Copy the best of several models."""

    settings = SelectSettings
    one_thread = True
    chooses = True
    runs_int8 = ("among", "smallest.of", "fastest.of")

    def facts(self, name: str, settings: SelectSettings, known: Known) -> Facts:
        candidates = [known.facts[name] for name in settings.among]
        first = candidates[0]
        if len({model.tokenizer for model in candidates} - {UNKNOWN.tokenizer}) > 1:
            raise SettingError("among", "all candidates must have the same tokenizer")
        if any(model.heads != first.heads for model in candidates if model is not UNKNOWN):
            raise SettingError("among", "all candidates must have heads for the same datasets")
        same_shape = all(other.shape == first.shape for other in candidates)
        ranked = {model.ranked for model in candidates}
        quantized = {model.quantized for model in candidates}
        return replace(
            first,
            shape=first.shape if same_shape else Shape(family=first.shape.family),
            units={kind: fewest_gone([model.units[kind] for model in candidates]) for kind in UNIT_KINDS},
            quantized=quantized.pop() if len(quantized) == 1 else None,
            ranked=ranked.pop() if len(ranked) == 1 else None,
            embedding_rank=max(filter(None, (model.embedding_rank for model in candidates)), default=None),
        )

    def checks(self, graph: Graph, node: Node) -> Findings:
        settings = self.settings_of(graph, node.name)
        for name in settings.among:
            yield from needs_head(graph, name, settings.dataset, "among")
        metrics = graph.datasets[settings.dataset].metrics
        if settings.metric is not None and settings.metric not in metrics:
            yield ("metric",), no_metric([settings.dataset], settings.metric, metrics)
        if settings.split == "train":
            yield ("split",), "models are scored on held-out splits; give `validation` or `test`"
        for what in no_split(graph.datasets[settings.dataset], settings.split):
            yield ("split",), what
        yield from _constraint_faults(graph, settings)

    def options(self, graph: Graph, *names: str) -> dict[str, Settings]:
        settings = self.settings_of(graph, *names)
        return {"settings": settings.model_copy(update={"metric": graph.metric_of(settings)})}

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        folders, settings = super().inputs(graph, *names), self.settings_of(graph, *names)
        folders["models"] = folders.pop("among")
        folders.pop(f"{settings.constraint}.of", None)
        candidates = [exported(name, settings.format) for name in settings.among]
        place = graph.layout
        folders["evaluations"] = [place.evaluation(name, settings.dataset) for name in candidates]
        if settings.format != TORCH:
            folders["exports"] = [place.runnable(name) for name in candidates]
        if settings.fastest is not None:
            folders["measurements"] = [place.measurement(name) for name in candidates]
        if settings.enough is not None and settings.enough.of is not None:
            folders["reference"] = [place.evaluation(settings.enough.of, settings.dataset)]
        return folders

    def compared(self, settings: SelectSettings) -> Sequence[tuple[str, str]]:
        return [(name, settings.dataset) for name in settings.among]

    def sized_by(self, settings: SelectSettings) -> list[str]:
        return list(settings.among)

    def needs(self, settings: SelectSettings) -> Iterator[tuple[str, Need]]:
        yield settings.dataset, Need(settings.split, CHOSEN, labelled=True)


def _constraint_faults(graph: Graph, settings: SelectSettings) -> Findings:
    """Yield what a choice asks for that is not scored, not exported or not measured."""
    if settings.enough is not None and (of := settings.enough.of) is not None:
        yield from _reference_faults(graph, settings, of)
    # A candidate with a mistake is not in the graph.
    for name in filter(graph.nodes.__contains__, settings.among):
        if settings.format not in (TORCH, *graph.nodes[name].settings.export):
            what = f"{name!r} is not exported as {settings.format}; add it to the `export` of {name!r}"
            yield ("format",), what
    if settings.fastest is None:
        return
    for name in filter(graph.nodes.__contains__, settings.among):
        if name not in graph.measured:
            yield ("fastest",), f"{name!r} is not measured; add it to `measure: {{models: …}}`"
    latency = graph.document.measure.latency if graph.document.measure else LatencySettings()
    for field in ("batch", "length"):
        wanted, measured = getattr(settings.fastest, field), getattr(latency, field)
        if wanted not in measured:
            what = f"`measure` has {', '.join(map(str, measured))}, found {wanted}; give one of these"
            yield ("fastest", field), f"{what}, or add {wanted} to `measure: {{latency: {{{field}: …}}}}`"


def _reference_faults(graph: Graph, settings: SelectSettings, of: str) -> Findings:
    where = (settings.constraint, "of")
    if (of, settings.dataset) not in graph.evaluations:
        what = f"{of!r} is not scored on {settings.dataset!r}"
        yield where, f"{what}; add {settings.dataset!r} to its `evaluate`, or name a model that is"
