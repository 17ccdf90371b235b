"""`finetune`: a model trained on a task with its labels."""

from collections.abc import Iterator

from pydantic import Field

from kdpipe.anatomy.families import LANGUAGE_MODELING
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.base import ModelName, TrainingData
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.config.settings.several import SamplingSettings, SeveralDatasets
from kdpipe.config.settings.training import Training, training_settings
from kdpipe.plan.entries import Facts, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import Known
from kdpipe.plan.training import TrainingStage, trained_facts


class FinetuneSettings(SeveralDatasets):
    """Training without a teacher.

    Args:
        model: the model to start from.
        dataset: the task's dataset, or a list of datasets; the model has a head for each.
        sampling: how often a batch is of each of several datasets.
        masking: how targets are chosen, for language-modelling datasets.
        freeze: globs of names of parameters that stay as they are.
        training: fields of `TrainingArguments`.
    """

    model: ModelName
    dataset: TrainingData
    sampling: SamplingSettings | None = None
    masking: MaskingSettings = MaskingSettings()
    freeze: tuple[str, ...] = ()
    training: Training = Field(default_factory=lambda: training_settings()())


class Finetune(TrainingStage[FinetuneSettings]):
    """Train a model on a task with its labels."""

    settings = FinetuneSettings
    starts_from = "model"

    def facts(self, name: str, settings: FinetuneSettings, known: Known) -> Facts:
        return trained_facts(settings.model, settings.datasets, known)

    def checks(self, graph: Graph, node: Node) -> Findings:
        for dataset in map(graph.datasets.__getitem__, self.settings_of(graph, node.name).datasets):
            if dataset.task != LANGUAGE_MODELING and dataset.unlabelled:
                yield ("dataset",), f"{dataset.name!r} has `labels: none`; fine-tuning needs labels"
        yield from super().checks(graph, node)

    def uses(self, settings: FinetuneSettings, setting: str, model: str) -> Iterator[tuple[str, bool]]:
        """Yield the datasets, for which the model may be given a new head."""
        yield from ((dataset, False) for dataset in settings.datasets)
