"""`select`: a copy of the best of several models."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.units import UNIT_KINDS, fewest_gone
from kdpipe.config.mistakes import Findings, SettingError
from kdpipe.config.settings.base import DatasetName, ModelNames, Settings, StageSettings
from kdpipe.plan.entries import UNKNOWN, Facts, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import CHOSEN, Known, ModelStage, Need
from kdpipe.plan.suitability import needs_head, no_metric, no_split


class SelectSettings(StageSettings):
    """The choice of a model by its evaluation.

    Args:
        among: the candidates.
        dataset: the dataset they are compared on.
        metric: the metric that decides; by default the first that the dataset has.
        split: the split that decides.
    """

    among: ModelNames
    dataset: DatasetName
    metric: str | None = None
    split: str = "validation"


class Select(ModelStage[SelectSettings]):
    """Copy the best of several models."""

    settings = SelectSettings
    one_thread = True
    chooses = True

    def facts(self, name: str, settings: SelectSettings, known: Known) -> Facts:
        candidates = [known.facts[name] for name in settings.among]
        first = candidates[0]
        if len({model.tokenizer for model in candidates} - {UNKNOWN.tokenizer}) > 1:
            raise SettingError("among", "all candidates must have the same tokenizer")
        if any(model.heads != first.heads for model in candidates if model is not UNKNOWN):
            raise SettingError("among", "all candidates must have heads for the same datasets")
        same_shape = all(other.shape == first.shape for other in candidates)
        ranked = {model.ranked for model in candidates}
        return replace(
            first,
            shape=first.shape if same_shape else Shape(family=first.shape.family),
            units={kind: fewest_gone([model.units[kind] for model in candidates]) for kind in UNIT_KINDS},
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

    def options(self, graph: Graph, *names: str) -> dict[str, Settings]:
        settings = self.settings_of(graph, *names)
        return {"settings": settings.model_copy(update={"metric": graph.metric_of(settings)})}

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        folders = super().inputs(graph, *names)
        return {"models": folders.pop("among"), **folders}

    def compared(self, settings: SelectSettings) -> Sequence[tuple[str, str]]:
        return [(name, settings.dataset) for name in settings.among]

    def needs(self, settings: SelectSettings) -> Iterator[tuple[str, Need]]:
        yield settings.dataset, Need(settings.split, CHOSEN, labelled=True)
