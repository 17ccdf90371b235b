"""`augment`: the training split that a model makes of a dataset: copies of examples, or labels."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from kdpipe.config.settings.augmentation import CopiesSettings
from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.bounds import Count
from kdpipe.config.settings.dataset import SourceSettings
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import AUGMENTED
from kdpipe.plan.running import SCORED_BATCH
from kdpipe.plan.sizes import WEIGHT, Cost, activations, block_parameters, operations, parameters, rows_of
from kdpipe.plan.stage import DAY, Job, Stage
from kdpipe.plan.stages.preprocess import PreprocessSettings, preprocess_settings

# The share of a text's tokens that are masked, each in a run of its own over twice the text.
MASKED_SHARE = 0.5


class AugmentSettings(Settings):
    """What a model makes of a training split.

    Args:
        copies: how the model makes copies; null where it gives labels.
        confidence: the smallest probability of the class that a label names; null keeps all examples.
        bf16: whether the model runs in bfloat16, as the training that made the model says; null where the
            processor decides.
        eval_batch_size: examples that a model labels at once; null for the usual number.
    """

    copies: CopiesSettings | None = None
    confidence: float | None = None
    bf16: bool | None = None
    eval_batch_size: Count | None = None


class Augment(Stage[AugmentSettings]):
    """Let a model make the training split of a dataset."""

    settings = AugmentSettings
    wildcards = ("augmented",)
    kind = AUGMENTED
    only_read = True
    longest = DAY

    def settings_of(self, graph: Graph, *names: str) -> AugmentSettings:
        entry, model = graph.datasets[names[0]], _maker(graph, names[0])
        if entry.augmentation:
            return AugmentSettings(copies=entry.augmentation.for_stage, bf16=_bf16(graph, model))
        [labeller] = (source.labeller for source in entry.sources)
        return AugmentSettings(
            confidence=labeller.confidence if labeller else None,
            bf16=_bf16(graph, model),
            eval_batch_size=graph.eval_batch_size(model),
        )

    def options(self, graph: Graph, *names: str) -> dict[str, Settings]:
        return super().options(graph, *names) | {"dataset": _original(graph, names[0])}

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        entry, [dataset] = graph.datasets[names[0]], names
        folders = {"model": [graph.layout.model(_maker(graph, dataset))]}
        labelled = entry.labelled.values() if entry.augmentation else ()
        made = [graph.layout.augmented(name) for name in labelled]
        return folders | ({"augmented": made} if made else {})

    def sources(self, graph: Graph, *names: str) -> Sequence[SourceSettings]:
        return graph.datasets[names[0]].sources

    def runs(self, graph: Graph, *names: str) -> Iterable[str]:
        [dataset] = names
        copied = graph.datasets[dataset].augmentation is not None
        return (_maker(graph, dataset), *([] if copied else [dataset]))

    def cost(self, graph: Graph, job: Job) -> Cost:
        [shape], dataset = self.shapes(graph, job), graph.datasets[job.names[0]]
        rows, weights, length = rows_of(dataset), block_parameters(shape), dataset.max_length
        passes = 1.0
        if dataset.augmentation:
            rows //= dataset.with_copies(1)
            passes, length = 2 * MASKED_SHARE * length / 2, 2 * length
        size = WEIGHT * parameters(shape) + activations({**shape, "depth": 1}, SCORED_BATCH, length)
        return Cost(size, operations(passes * weights, rows, dataset), gpus=min(1, graph.document.gpus))


def _maker(graph: Graph, dataset: str) -> str:
    """Return the model that makes the training split of a dataset."""
    references = graph.datasets[dataset].settings.references()
    [model] = [name for _, kind, name in references if kind == "model"]
    return model


def _bf16(graph: Graph, model: str) -> bool | None:
    """Return whether a model runs in bfloat16, as its own training says, whoever else reads the model."""
    training = getattr(graph.nodes[model].settings, "training", None)
    chosen: bool | None = getattr(training, "bf16", None)
    return chosen


def _original(graph: Graph, dataset: str) -> PreprocessSettings:
    """Return the settings of a dataset whose training split its model still has to make."""
    settings = preprocess_settings(graph, dataset)
    entry = graph.datasets[dataset]
    made = {"copied": False} if entry.augmentation else {"labelled": ()}
    return settings.model_copy(update=made)
