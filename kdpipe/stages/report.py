"""Write the report of a config: a page to read, and the results as tables."""

import logging
from pathlib import Path

from kdpipe.command import main
from kdpipe.config.build import load_graph
from kdpipe.job import Job
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.page import render_page
from kdpipe.reporting.results import collect_results, write_results
from kdpipe.reporting.text import format_table

LOG = logging.getLogger(__name__)


def run(job: Job, *, config: Path) -> None:
    """Read the results of every model and evaluation that a config asks for, and report on them."""
    graph = load_graph([config])
    results = collect_results(graph)
    aggregated = aggregate(results, graph)
    page = render_page(graph, aggregated)
    with job.artifact() as draft:
        write_results(results, draft.folder)
        (draft.folder / "report.html").write_text(page, encoding="utf-8")
    LOG.info("results\n%s", format_table(aggregated))


if __name__ == "__main__":
    main(run)
