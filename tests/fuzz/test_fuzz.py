"""Hostile configs, data files and model folders: each ends in success or in a mistake that is told.

KDPIPE_FUZZ_SEED=3 KDPIPE_FUZZ_DRAWS=10 make test-slow    other draws, and ten times as many
KDPIPE_FUZZ_ONLY=3:1234 make test-slow                    of each test the draw of this seed and number alone
"""

import json
import traceback
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import pytest

from kdpipe.config.build import load_graph
from kdpipe.config.document import read_config
from kdpipe.config.graph import Graph
from kdpipe.config.jobs import Job, all_jobs, jobs_for
from kdpipe.data.opening import open_dataset
from kdpipe.errors import KdpipeError
from tests.fuzz.arguments import hostile_arguments
from tests.fuzz.artifacts import leave_artifacts
from tests.fuzz.configs import right_config
from tests.fuzz.draws import CACHES, CONFIG, Draw, each
from tests.fuzz.runs import at_most, run_command, run_stage
from tests.fuzz.world import changes, is_below, look_at

pytestmark = pytest.mark.slow
SECONDS, STAGE_SECONDS = 30, 60


def test_nothing_hostile_ends_in_a_traceback_when_it_is_checked_and_read(template, world):
    outcomes = each("check", 2000, template, world, _check)
    assert outcomes["check 0"] > 0 < outcomes["check 2"]


def test_nothing_hostile_ends_in_a_traceback_or_loses_a_file_in_stages(template, world):
    each("stages", 100, template, world, _run_stages)


def _check(draw: Draw) -> None:
    draw.prepare()
    before = look_at(draw.world)
    with at_most(SECONDS):
        if draw.expect("check", *run_command(["check", CONFIG])):
            graph = load_graph([Path(CONFIG)])
            for name in filter(partial(_is_small, graph), graph.datasets):
                draw.expect("read", *_read(graph, name))
    draw.faults += changes(before, look_at(draw.world), CACHES)


def _read(graph: Graph, dataset: str) -> tuple[int, str]:
    try:
        source = open_dataset(graph.preprocess_settings(dataset))
        for split in source.splits():
            for _ in islice(source.read(split), 300):
                pass
    except KdpipeError as error:
        return 2, str(error)
    except Exception:
        return 1, traceback.format_exc()
    return 0, ""


def _run_stages(draw: Draw) -> None:
    while True:
        draw.prepare(("config", "files", "files", "folder", "folder"))
        if run_command(["check", CONFIG])[0] == 0 and _is_short(graph := load_graph([Path(CONFIG)])):
            break
    before = look_at(draw.world)
    results = draw.place(graph.layout.results)
    for job in _jobs(draw, graph):
        config = _snapshot(draw, graph)
        if not draw.expect(job.stage, *run_stage(graph, job, config, STAGE_SECONDS)):
            break
    draw.faults += changes(before, look_at(draw.world), (*CACHES, results))


def _is_small(graph: Graph, dataset: str) -> bool:
    """Tell whether a dataset is not the docstrings of all that there is by default, which take a minute."""
    sources = graph.datasets[dataset].sources
    return all(source.source != "pydoc" or source.options.get("packages") for source in sources)


def _is_short(graph: Graph) -> bool:
    """Tell whether trainings have no more steps than a test has time for, and read small datasets."""
    trained = [node.settings for node in graph.nodes.values() if hasattr(node.settings, "training")]
    has_few_steps = all(0 < (settings.training.max_steps or 0) < 5 for settings in trained)
    return has_few_steps and all(_is_small(graph, name) for name in graph.datasets)


def _jobs(draw: Draw, graph: Graph) -> list[Job]:
    """Return what the workflow runs for one of the models, or for all and the report."""
    jobs = (
        all_jobs(graph) if draw.rng.random() < 0.1 else jobs_for(graph, [draw.rng.choice(list(graph.nodes))])
    )
    return [job for job in jobs if job.stage != "fetch"]


def _snapshot(draw: Draw, graph: Graph) -> Path:
    file = graph.layout.state / "config.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(read_config([Path(CONFIG)])), encoding="utf-8")
    return file


def test_what_draws_start_from_is_right(template, world):
    def check(draw: Draw) -> None:
        draw.renew()
        draw.file.write_text(json.dumps(right_config(draw.rng)), encoding="utf-8")
        draw.expect("check", *run_command(["check", CONFIG]), ends=(0,))

    each("right", 20, template, world, check)


def test_no_command_line_ends_in_a_traceback_or_loses_a_file(template, world):
    each("commands", 300, template, world, _command)


def _command(draw: Draw) -> None:
    draw.prepare(("none", "none", "config", "files", "folder"))
    left = [draw.place(folder) for folder in leave_artifacts(draw.rng, Path("results"))]
    arguments = hostile_arguments(draw.rng)
    draw.told.append(repr(arguments))
    before = {name: seen for name, seen in look_at(draw.world).items() if not is_below(name, left)}
    with at_most(SECONDS):
        draw.expect(arguments[0][:20], *run_command(arguments))
    draw.faults += changes(before, look_at(draw.world), (*CACHES, *left, *_outputs(draw, arguments)))


def _outputs(draw: Draw, arguments: list[str]) -> list[str]:
    """Return the folder that `kdpipe shrink` writes."""
    given = [value for option, value in pairwise(arguments) if option == "--output"]
    given += [word.partition("=")[2] for word in arguments if word.startswith("--output=")]
    return [draw.place(Path(folder)) for folder in [*given, "shrunk"]]
