"""`measure`: latency, memory and size on disk of a model."""

from itertools import product
from pathlib import Path

from kdpipe.anatomy.formats import model_and_format
from kdpipe.config.settings.measure import LatencySettings
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import MEASUREMENTS
from kdpipe.plan.running import gpus_to_run
from kdpipe.plan.sizes import WEIGHT, Cost, activations, block_parameters, parameters
from kdpipe.plan.stage import Job, Stage

# About how many passes a slow model makes on batches of one shape.
PASSES = 25


class Measure(Stage[LatencySettings]):
    """Measure latency, memory and size on disk of a model, while no other job runs."""

    settings = LatencySettings
    wildcards = ("measured",)
    kind = MEASUREMENTS

    def settings_of(self, graph: Graph, *names: str) -> LatencySettings:
        assert graph.document.measure is not None
        return graph.document.measure.latency

    def threads(self, graph: Graph) -> int:
        return self.settings_of(graph).threads

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        return {"model": [graph.layout.runnable(*names)]}

    def runs(self, graph: Graph, *names: str) -> tuple[str, ...]:
        return (model_and_format(*names)[0],)

    def cost(self, graph: Graph, job: Job) -> Cost:
        [shape], asked = self.shapes(graph, job), self.settings_of(graph)
        kept = activations({**shape, "depth": 1}, max(asked.batch), max(asked.length))
        tokens = sum(batch * length for batch, length in product(asked.batch, asked.length))
        work = 2 * PASSES * tokens * block_parameters(shape)
        return Cost(WEIGHT * parameters(shape) + kept, work, gpus=gpus_to_run(graph, *job.names))
