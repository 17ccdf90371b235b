"""Write the report of a config: a page to read, and the results as tables."""

import os
from pathlib import Path

from kdpipe.plan.build import load_graph
from kdpipe.plan.stages.report import COMMAND
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.page import render_page
from kdpipe.reporting.results import collect_results, write_results
from kdpipe.runner.command_line import main
from kdpipe.runner.provenance import provenance
from kdpipe.runner.workspace import Workspace


def run(workspace: Workspace, *, config: Path) -> None:
    """Read the results of every model and evaluation that a config asks for, and report on them."""
    graph = load_graph([config])
    results = collect_results(graph)
    # The digests come before the published values are read, which may change from here on.
    origin = provenance(graph, "report")
    aggregated = aggregate(results, graph, intervals=True)
    page = render_page(graph, aggregated, os.environ.get(COMMAND, ""))
    with workspace.artifact() as draft:
        draft.record(**origin)
        write_results(results, draft.folder)
        (draft.folder / "report.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(run)
