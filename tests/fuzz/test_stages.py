"""Hostile configs, data files and model folders that pass a check, in the processes of stages."""

import json
from pathlib import Path

import pytest

from kdpipe.config.document import read_config
from kdpipe.plan.build import load_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import all_jobs, jobs_for
from kdpipe.plan.stage import Job
from tests.fuzz.draws import CACHES, CONFIG, Draw, each
from tests.fuzz.runs import has_small_data, run_command, run_stage
from tests.fuzz.world import changes, look_at

pytestmark = pytest.mark.slow
SECONDS = 60
FROM_HUB = ("far",)
KINDS = ("config", "settings", "settings", "files", "files", "folder", "folder")


def test_nothing_hostile_ends_in_a_traceback_or_loses_a_file_in_stages(template, world):
    each("stages", 100, template, world, _run_stages)


def _run_stages(draw: Draw) -> None:
    graph = _checked(draw)
    before = look_at(draw.world)
    results = draw.place(graph.layout.results)
    for job in _jobs(draw, graph):
        if not draw.expect(job.stage, *run_stage(graph, job, _whole_config(graph), SECONDS)):
            break
    draw.faults += changes(before, look_at(draw.world), (*CACHES, results))


def _checked(draw: Draw) -> Graph:
    """Draw until a check finds no mistake; return the graph."""
    while True:
        draw.prepare(KINDS)
        if run_command(["check", CONFIG])[0] == 0:
            graph = load_graph([Path(CONFIG)])
            if _is_short(graph):
                return graph


def _is_short(graph: Graph) -> bool:
    """Tell whether a test has time for the config."""
    trained = [node.settings for node in graph.nodes.values() if hasattr(node.settings, "training")]
    has_few_steps = all(0 < (settings.training.max_steps or 0) < 5 for settings in trained)
    return has_few_steps and all(has_small_data(graph, name) for name in graph.datasets)


def _jobs(draw: Draw, graph: Graph) -> list[Job]:
    """Return the jobs of a model, or of all models and the report, without jobs that need a network."""
    made = [name for name, node in graph.nodes.items() if node.stage != "load" and name not in FROM_HUB]
    one = draw.rng.choice(made or list(graph.nodes))
    jobs = all_jobs(graph) if draw.rng.random() < 0.1 else jobs_for(graph, [one])
    return [job for job in jobs if job.stage != "fetch"]


def _whole_config(graph: Graph) -> Path:
    """Write the whole config as one file, for the report."""
    file = graph.layout.state / "config.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(read_config([Path(CONFIG)])), encoding="utf-8")
    return file
