"""What stages share that run a model over an encoded dataset without training it."""

from pathlib import Path

from kdpipe.anatomy.formats import TORCH, model_and_format
from kdpipe.plan.entries import Dataset
from kdpipe.plan.graph import Graph
from kdpipe.plan.sizes import (
    WEIGHT,
    Cost,
    activations,
    block_parameters,
    encoded_bytes,
    operations,
    parameters,
    rows_of,
)
from kdpipe.plan.stage import Job, S, Stage

SCORED_BATCH = 64
# The share of a dataset's rows that is held out, for evaluations and submissions.
HELD_OUT_SHARE = 0.5


def gpus_to_run(graph: Graph, name: str) -> int:
    """Return how many GPUs a job takes to run a model, or an export: ONNX Runtime runs on the processor."""
    return min(1, graph.document.gpus) if model_and_format(name)[1] == TORCH else 0


class RunningStage(Stage[S]):
    """A stage whose first names are a model and a dataset.

    Attributes:
        option: the option that takes the model.
        share: the share of the dataset's rows that the model runs on.
        passes: how many passes forward a row takes as long as.
    """

    option = "model"
    share: float = 1
    passes = 1

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        name, dataset = names[:2]
        data = graph.encoded(dataset, model_and_format(name)[0])
        return {self.option: [graph.layout.runnable(name)], "data": [data]}

    def runs(self, graph: Graph, *names: str) -> tuple[str, ...]:
        return model_and_format(names[0])[0], names[1]

    def cost(self, graph: Graph, job: Job) -> Cost:
        [shape], dataset = self.shapes(graph, job), graph.datasets[job.names[1]]
        size = WEIGHT * parameters(shape) + encoded_bytes(dataset) + self.kept_bytes(job, shape, dataset)
        work = operations(self.passes * block_parameters(shape), self.share * rows_of(dataset), dataset)
        return Cost(size, work, gpus=gpus_to_run(graph, job.names[0]))

    def kept_bytes(self, job: Job, shape: dict[str, int], dataset: Dataset) -> int:
        """Return the bytes of activations, and of signals not yet written, that a job keeps at a time.

        Without gradients, a block's activations are gone when the next block has its own.
        """
        batch = getattr(job.settings["settings"], "eval_batch_size", None) or SCORED_BATCH
        return activations({**shape, "depth": 1}, batch, dataset.max_length)
