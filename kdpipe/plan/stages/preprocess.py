"""`preprocess`: a dataset as the tokenizer of a node encodes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from kdpipe.config.settings.augmentation import CopiesSettings
from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.dataset import RowCounts, SourceSettings
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import DATA
from kdpipe.plan.sizes import Cost, tokens_of
from kdpipe.plan.stage import DAY, Job, Stage

# What a dataset says of evaluations alone; changing it encodes nothing again.
OF_EVALUATIONS = ("metrics", "longest_answer", "no_answer_threshold")


class PreprocessSettings(Settings):
    """How a dataset is encoded.

    Args:
        sources: the settings of the datasets it is read from; several are joined.
        proportions: of several, the share of each one's training rows that is taken; by default all.
        task: what its examples are for.
        max_length: tokens of an encoded example.
        stride: tokens of a long context that one window shares with the next.
        packing: whether texts are joined and cut into rows of `max_length` tokens.
        rows: size of a fixed sample of the joined training split, or of each split named.
        labels: `none` drops the labels of the training split.
        seed: seed of samples, of copies, and of the order in which several sources are joined.
        labelled: the places of the sources whose training splits a model has labelled, in artifacts.
        copied: whether a model has made copies of the training examples; then the artifact has all of these.
        copies: how copies are made whose words change; null for no copies.
    """

    sources: tuple[dict[str, object], ...]
    proportions: tuple[float, ...] | None = None
    task: str
    max_length: int
    stride: int = 128
    packing: bool = False
    rows: RowCounts | None = None
    labels: Literal["none"] | None = None
    seed: int = 42
    labelled: tuple[int, ...] = ()
    copied: bool = False
    copies: CopiesSettings | None = None


class Preprocess(Stage[PreprocessSettings]):
    """Encode a dataset with a tokenizer."""

    settings = PreprocessSettings
    wildcards = ("dataset", "tokenizer")
    kind = DATA
    only_read = True
    longest = DAY // 2

    def settings_of(self, graph: Graph, *names: str) -> PreprocessSettings:
        return preprocess_settings(graph, names[0])

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        folders = {"tokenizer": [graph.layout.model(names[1])]}
        made = made_for(graph, names[0])
        return folders | ({"augmented": made} if made else {})

    def sources(self, graph: Graph, *names: str) -> Sequence[SourceSettings]:
        return graph.datasets[names[0]].sources

    def runs(self, graph: Graph, *names: str) -> Sequence[str]:
        return names[:1]

    def group(self, graph: Graph, *names: str) -> str | None:
        return "-".join(("data", *names))

    def cost(self, graph: Graph, job: Job) -> Cost:
        return Cost(super().cost(graph, job).memory, tokens=tokens_of(graph.datasets[job.names[0]]))


def made_for(graph: Graph, dataset: str) -> list[Path]:
    """Return the artifacts with the training splits that models make for a dataset."""
    entry = graph.datasets[dataset]
    names = [dataset] if entry.copied_by_model else entry.labelled.values()
    return [graph.layout.augmented(name) for name in names]


def preprocess_settings(graph: Graph, dataset: str) -> PreprocessSettings:
    """Return the settings of the stage that encodes a dataset."""
    entry = graph.datasets[dataset]
    original = graph.datasets[entry.augmentation.dataset] if entry.augmentation else entry
    return PreprocessSettings(
        sources=tuple(map(_source, entry.sources)),
        proportions=entry.proportions if set(entry.proportions) != {1.0} else None,
        task=entry.task,
        max_length=entry.max_length,
        stride=entry.stride,
        packing=entry.packing,
        # A source takes its own sample.
        rows=original.rows if original.settings.base else None,
        labels="none" if entry.unlabelled else None,
        seed=graph.document.seed,
        labelled=tuple(entry.labelled),
        copied=entry.copied_by_model,
        copies=entry.augmentation.for_stage if entry.augmentation and not entry.copied_by_model else None,
    )


def _source(source: SourceSettings) -> dict[str, object]:
    """Return the settings of a source; the labels that a model replaces are not read."""
    settings = source.model_dump(mode="json", exclude_defaults=True, exclude=set(OF_EVALUATIONS))
    return settings | ({"labels": "none"} if source.labeller else {})
