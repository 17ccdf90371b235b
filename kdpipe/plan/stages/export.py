"""`export`: a model in a format that runs without torch."""

from importlib.util import find_spec
from pathlib import Path

from kdpipe.anatomy.formats import INT8, ExportFormat
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.base import Settings
from kdpipe.errors import not_installed
from kdpipe.plan.entries import Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import EXPORTS
from kdpipe.plan.sizes import WEIGHT, Cost, parameters
from kdpipe.plan.stage import HOUR, Job, Stage

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
# Copies of the weights in memory: the model, what is traced, two graphs, and the session that is compared.
COPIES = 6


class ExportSettings(Settings):
    """The format in which a model is written.

    Args:
        format: the format.
    """

    format: ExportFormat


class Export(Stage[ExportSettings]):
    """Write a model in a format that runs without torch, and compare it with the model."""

    settings = ExportSettings
    kind = EXPORTS
    wildcards = ("exported", "format")
    one_thread = True
    longest = 3 * HOUR

    def settings_of(self, graph: Graph, *names: str) -> ExportSettings:
        return ExportSettings.model_validate({"format": names[1]})

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        return {"model": [graph.layout.model(names[0])]}

    def runs(self, graph: Graph, *names: str) -> tuple[str, ...]:
        return names[:1]

    def group(self, graph: Graph, *names: str) -> str:
        """Return the group that the export shares with its evaluations."""
        return f"export-{'-'.join(names)}"

    def cost(self, graph: Graph, job: Job) -> Cost:
        shape, *_ = self.shapes(graph, job)
        return Cost(COPIES * WEIGHT * parameters(shape))


def check_exports(graph: Graph, node: Node) -> Findings:
    """Yield why a model cannot be exported."""
    if not node.settings.export:
        return
    if missing := next((name for name in PACKAGES if find_spec(name) is None), None):
        yield ("export",), not_installed(missing, "ship")
    for format in node.settings.export:
        if format != INT8 and (told := graph.facts[node.name].in_int8):
            what = f"{node.name!r} {told}, which {format} would undo"
            yield ("export",), f"{what}; give {INT8}, or export the model that it was made from"
