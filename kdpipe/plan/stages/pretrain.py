"""`pretrain`: a small model and its WordPiece tokenizer from scratch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from kdpipe.anatomy.families import LANGUAGE_MODELING
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.architecture import Architecture
from kdpipe.config.settings.base import DatasetName, Settings, StageSettings
from kdpipe.config.settings.bounds import MANY
from kdpipe.config.settings.dataset import SourceSettings
from kdpipe.config.settings.explanation import mistake
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.config.settings.training import Training, training_settings
from kdpipe.plan.entries import Facts, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import Known
from kdpipe.plan.sizes import Cost, tokens_of
from kdpipe.plan.stage import DAY, Job
from kdpipe.plan.stages.create import architecture_shape, narrow
from kdpipe.plan.stages.preprocess import preprocess_settings
from kdpipe.plan.training import TrainingStage, check_head


class PretrainSettings(StageSettings):
    """Masked language modelling from scratch.

    Args:
        dataset: a language-modelling dataset; the tokenizer is trained on its training split.
        architecture: the model's family and shape.
        vocab_size: entries of the WordPiece vocabulary, special tokens included.
        masking: how targets are chosen; uniformly by default, as BERT does.
        training: fields of `TrainingArguments`.
    """

    dataset: DatasetName
    architecture: Architecture
    vocab_size: int = Field(default=8000, ge=64, le=MANY)
    masking: MaskingSettings = MaskingSettings(smoothing=0)
    training: Training = Field(default_factory=lambda: training_settings()())

    @model_validator(mode="after")
    def _fits_in_memory(self) -> Self:
        what = self.architecture.check_weights(self.vocab_size)
        if what:
            raise mistake(("vocab_size",), what)
        return self


class Pretrain(TrainingStage[PretrainSettings]):
    """Train a small model and its WordPiece tokenizer from scratch, as a masked language model."""

    settings = PretrainSettings
    # Its data are encoded, and it is scored, by jobs that need its tokenizer first.
    trains = False
    longest = DAY

    def facts(self, name: str, settings: PretrainSettings, known: Known) -> Facts:
        check_head(
            "architecture", settings.architecture.family, "masked language modelling", ("ForMaskedLM",)
        )
        return Facts(name, architecture_shape(settings.architecture, settings.vocab_size), LANGUAGE_MODELING)

    def checks(self, graph: Graph, node: Node) -> Findings:
        dataset = graph.datasets[self.settings_of(graph, node.name).dataset]
        if dataset.task != LANGUAGE_MODELING:
            what = f"expected a language_modeling dataset, {dataset.name!r} is for {dataset.task}"
            yield ("dataset",), what
        yield from super().checks(graph, node)

    def options(self, graph: Graph, *names: str) -> dict[str, Settings]:
        dataset = self.settings_of(graph, *names).dataset
        return super().options(graph, *names) | {"dataset": preprocess_settings(graph, dataset)}

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        return {}

    def sources(self, graph: Graph, *names: str) -> Sequence[SourceSettings]:
        return graph.datasets[self.settings_of(graph, *names).dataset].sources

    def in_small(self, settings: PretrainSettings, factor: int, sizes: Mapping[str, int]) -> dict[str, Any]:
        return narrow(super().in_small(settings, factor, sizes), sizes)

    def cost(self, graph: Graph, job: Job) -> Cost:
        dataset = graph.datasets[self.settings_of(graph, *job.names).dataset]
        return replace(super().cost(graph, job), tokens=tokens_of(dataset))
