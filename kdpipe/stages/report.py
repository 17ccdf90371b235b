"""Write the report of a config: a page to read, and the results as tables."""

import os
from pathlib import Path
from typing import Any

from kdpipe.artifacts.ownership import place_of
from kdpipe.artifacts.sums import SUMS, file_digest
from kdpipe.plan.build import load_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import job_of
from kdpipe.plan.stage import definition
from kdpipe.plan.stages.report import COMMAND
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.page import render_page
from kdpipe.reporting.results import collect_results, write_results
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace


def run(workspace: Workspace, *, config: Path) -> None:
    """Read the results of every model and evaluation that a config asks for, and report on them."""
    graph = load_graph([config])
    results = collect_results(graph)
    # The digests come before the published values are read, which may change from here on.
    origin = _origin(graph)
    aggregated = aggregate(results, graph, intervals=True)
    page = render_page(graph, aggregated, os.environ.get(COMMAND, ""))
    with workspace.artifact() as draft:
        draft.record(**origin)
        write_results(results, draft.folder)
        (draft.folder / "report.html").write_text(page, encoding="utf-8")


def _origin(graph: Graph) -> dict[str, Any]:
    """Return the settings, inputs and source files of the report for its manifest."""
    job, results = job_of(graph, "report"), graph.layout.results
    return {
        "settings": job.decisive() | {"threads": 1},
        "inputs": {
            place_of(folder, results): file_digest(folder / SUMS)
            for folders in job.inputs.values()
            for folder in folders
        },
        "source_files": {definition(job.stage).named(file): file_digest(file) for file in job.files},
    }


if __name__ == "__main__":
    main(run)
