"""`preprocess`: a dataset as the tokenizer of a node encodes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.dataset import CombineSettings, RowCounts, SourceSettings
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
        rows: size of a fixed sample of the joined training split, or of each split named.
        labels: `none` drops the labels of the training split.
        seed: seed of samples and of the order in which several sources are joined.
    """

    sources: tuple[dict[str, object], ...]
    proportions: tuple[float, ...] | None = None
    task: str
    max_length: int
    stride: int = 128
    rows: RowCounts | None = None
    labels: Literal["none"] | None = None
    seed: int = 42


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
        return {"tokenizer": [graph.layout.model(names[1])]}

    def sources(self, graph: Graph, *names: str) -> Sequence[SourceSettings]:
        return graph.datasets[names[0]].sources

    def runs(self, graph: Graph, *names: str) -> Sequence[str]:
        return names[:1]

    def group(self, graph: Graph, *names: str) -> str | None:
        return "-".join(("data", *names))

    def cost(self, graph: Graph, job: Job) -> Cost:
        return Cost(super().cost(graph, job).memory, tokens=tokens_of(graph.datasets[job.names[0]]))


def preprocess_settings(graph: Graph, dataset: str) -> PreprocessSettings:
    """Return the settings of the stage that encodes a dataset."""
    entry = graph.datasets[dataset]
    return PreprocessSettings(
        sources=tuple(
            source.model_dump(mode="json", exclude_defaults=True, exclude=set(OF_EVALUATIONS))
            for source in entry.sources
        ),
        proportions=entry.proportions if set(entry.proportions) != {1.0} else None,
        task=entry.task,
        max_length=entry.max_length,
        stride=entry.stride,
        rows=entry.settings.rows if isinstance(entry.settings, CombineSettings) else None,
        labels=entry.settings.labels,
        seed=graph.document.seed,
    )
