"""`count_tokens`: how often each token occurs in a dataset."""

from pathlib import Path

from kdpipe.config.settings.base import Settings
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import COUNTS
from kdpipe.plan.sizes import Cost, tokens_of
from kdpipe.plan.stage import DAY, Job, Stage


class CountTokensSettings(Settings):
    """How tokens are counted.

    Args:
        split: the split that is counted.
    """

    split: str = "train"


class CountTokens(Stage[CountTokensSettings]):
    """Count how often each token occurs in the training split of a dataset."""

    settings = CountTokensSettings
    wildcards = ("counted", "tokenizer")
    kind = COUNTS
    one_thread = True
    only_read = True
    longest = DAY // 2

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        return {"data": [graph.layout.data(*names)], "tokenizer": [graph.layout.model(names[1])]}

    def group(self, graph: Graph, *names: str) -> str | None:
        return "-".join(("data", *names))

    def cost(self, graph: Graph, job: Job) -> Cost:
        return Cost(super().cost(graph, job).memory, tokens=tokens_of(graph.datasets[job.names[0]]))
