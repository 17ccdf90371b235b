"""The jobs that make the artifacts of a graph.

The rules of the workflow are made from these; and `kdpipe why` compares them with what was.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from kdpipe import catalog
from kdpipe.anatomy.formats import model_and_format
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import CARDS, MODELS
from kdpipe.plan.sources import hub_folder
from kdpipe.plan.stage import Job, definition


def job_of(graph: Graph, stage: str, *names: str) -> Job:
    """Return the job of a rule, whose wildcards are given in their order."""
    if (stage, *names) not in graph.jobs:
        graph.jobs[stage, *names] = definition(stage).job(graph, *names)
    return graph.jobs[stage, *names]


def jobs_for(graph: Graph, models: Collection[str]) -> list[Job]:
    """Return the jobs that models and their results need, each after the jobs that it reads from."""
    jobs: dict[Path, Job] = {}

    def visit(job: Job) -> None:
        if job.folder not in jobs:
            for folder in job.reads():
                if folder not in jobs:
                    visit(_maker(graph, folder))
            jobs[job.folder] = job

    for name in models:
        visit(model_job(graph, name))
    for stage, name, *names in _results(graph):
        if model_and_format(name)[0] in models:
            visit(job_of(graph, stage, name, *names))
    return list(jobs.values())


def all_jobs(graph: Graph) -> list[Job]:
    """Return all jobs of a graph, each after the jobs that it reads from."""
    return [*jobs_for(graph, graph.nodes), job_of(graph, "report"), job_of(graph, "card", CARDS)]


def model_job(graph: Graph, model: str) -> Job:
    """Return the job that makes a model."""
    return job_of(graph, graph.nodes[model].stage, model)


def result_jobs(graph: Graph, model: str) -> Iterator[Job]:
    """Yield the job that makes a model, and the jobs for its results."""
    yield model_job(graph, model)
    for stage, name, *names in _results(graph):
        if model_and_format(name)[0] == model:
            yield job_of(graph, stage, name, *names)


def _results(graph: Graph) -> Iterator[tuple[str, ...]]:
    """Yield what is asked for of finished models: a stage, a model, and further names of a job."""
    yield from (("evaluate", *pair) for pair in graph.evaluations)
    yield from (("export", *pair) for pair in graph.exports)
    yield from (("evaluate", *pair) for pair in graph.exported_evaluations)
    yield from (("submit", *pair) for pair in graph.submissions)
    yield from (("measure", name) for name in graph.measurements)


def _maker(graph: Graph, folder: Path) -> Job:
    """Return the job that makes an artifact."""
    hub = hub_folder(graph.document.data_dir)
    if hub in folder.parents:
        return job_of(graph, "fetch", str(folder.relative_to(hub)))
    kind, *names = folder.relative_to(graph.layout.results).parts
    if kind == MODELS:
        return model_job(graph, *names)
    [stage] = (stage for stage in map(definition, catalog.STAGES) if stage.kind == kind)
    return job_of(graph, stage.name, *names)
