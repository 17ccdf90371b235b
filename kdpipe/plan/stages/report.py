"""`report`: the report of a config."""

from dataclasses import replace
from pathlib import Path

from kdpipe.config.document import Document
from kdpipe.config.settings.base import Settings
from kdpipe.places import shipped_name
from kdpipe.plan.graph import Graph
from kdpipe.plan.sizes import Cost
from kdpipe.plan.stage import Job, Stage

# The variable with the command that the user has started, which the report shows.
COMMAND = "KDPIPE_COMMAND"
# Bytes of memory for the page, its figures and the resampled examples, and for the scores of each evaluation.
PAGE, EVALUATION = 1e9, 3e5


class Report(Stage[Document]):
    """Write the report of a config: a page to read, and the results as tables."""

    settings = Document
    kind = "report"
    one_thread = True

    def job(self, graph: Graph, *names: str) -> Job:
        return replace(super().job(graph, *names), modules=(self.module,))

    def options(self, graph: Graph, *names: str) -> dict[str, Settings]:
        """Return the config, which comes as a file."""
        return {"config": graph.document}

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        layout = graph.layout
        return {
            "models": [layout.model(name) for name in graph.nodes],
            "evaluations": [
                layout.evaluation(*pair) for pair in (*graph.evaluations, *graph.exported_evaluations)
            ],
            "measurements": [layout.measurement(name) for name in graph.measurements],
            "importance": [layout.importance(*key) for key in graph.importances],
            "data": list(dict.fromkeys(graph.encoded(data, model) for model, data in graph.evaluations)),
        }

    def cost(self, graph: Graph, job: Job) -> Cost:
        return Cost(PAGE + EVALUATION * len(graph.evaluations))

    def files(self, graph: Graph, *names: str) -> list[Path]:
        published = graph.document.report.published_file
        return [published] if published is not None and published.exists() else []

    def named(self, file: Path) -> str:
        return str(shipped_name(file))
