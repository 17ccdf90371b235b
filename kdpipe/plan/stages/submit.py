"""`submit`: a model's labels of a dataset's test splits."""

from pydantic import Field

from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.bounds import Count
from kdpipe.config.settings.dataset import named_facts
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import SUBMISSIONS
from kdpipe.plan.running import HELD_OUT_SHARE, RunningStage


class SubmitSettings(Settings):
    """What the files of a test split's labels are called.

    Args:
        files: split to file name without its ending; the split's own name by default.
        eval_batch_size: examples that the model runs at once; null for the usual number.
    """

    files: dict[str, str] = Field(default_factory=dict)
    eval_batch_size: Count | None = None


class Submit(RunningStage[SubmitSettings]):
    """Label a dataset's test splits, in the files that GLUE's server takes."""

    settings = SubmitSettings
    wildcards = ("submitted", "dataset")
    kind = SUBMISSIONS
    share = HELD_OUT_SHARE

    def settings_of(self, graph: Graph, *names: str) -> SubmitSettings:
        model, dataset = names
        files = named_facts(graph.datasets[dataset].sources[0]).get("submission", {})
        return SubmitSettings(files=files, eval_batch_size=graph.eval_batch_size(model))
