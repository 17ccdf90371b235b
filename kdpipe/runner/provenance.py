"""What the manifest says of a stage that takes the whole config and finds its inputs by it."""

from typing import Any

from kdpipe.artifacts.ownership import place_of
from kdpipe.artifacts.sums import SUMS, file_digest
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import job_of
from kdpipe.plan.stage import definition


def provenance(graph: Graph, stage: str, *names: str) -> dict[str, Any]:
    """Return the settings, inputs and source files of a job for its manifest."""
    job, results = job_of(graph, stage, *names), graph.layout.results
    return {
        "settings": job.decisive() | {"threads": 1},
        "inputs": {
            place_of(folder, results): file_digest(folder / SUMS)
            for folders in job.inputs.values()
            for folder in folders
        },
        "source_files": {definition(stage).named(file): file_digest(file) for file in job.files},
    }
