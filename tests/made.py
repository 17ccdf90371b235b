"""Artifacts of a small config, as if its stages had made them."""

import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import publish
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.ownership import place_of
from kdpipe.artifacts.sums import SUMS, file_digest
from kdpipe.plan.build import build_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.identity import code_of, identity
from kdpipe.plan.jobs import jobs_for
from kdpipe.plan.stage import Job, definition
from tests.configs import CONFIG

Change = Callable[[dict[str, Any]], object]
# Contents of a file of seconds that are no numbers of seconds.
NO_SECONDS = [b"", b"{}", b"[]", b"null", b"true", b'"3"', b"NaN", b"1e999", b"-1", b"\xff", b"[" * 100_000]


def place_folder(path: Path) -> None:
    path.mkdir()
    (path / "file").write_text("kept")


def place_link(path: Path) -> None:
    path.symlink_to("/nowhere")


# Functions that place something else where a file of state is expected.
PLACED = [place_folder, place_link, os.mkfifo]


@pytest.fixture
def graph_with(tmp_path: Path) -> Callable[..., Graph]:
    """A function that changes the config and returns its graph."""

    def build(change: Change = lambda config: None) -> Graph:
        config = {**deepcopy(CONFIG), "results": str(tmp_path / "results"), "data_dir": str(tmp_path)}
        change(config)
        return build_graph(config)

    return build


@pytest.fixture
def graph(graph_with: Callable[..., Graph], tmp_path: Path) -> Graph:
    """The graph of the config, with all its artifacts."""
    (tmp_path / "glue/MRPC").mkdir(parents=True)
    (tmp_path / "glue/MRPC/train.tsv").write_text("", encoding="utf-8")
    graph = graph_with()
    for job in jobs_for(graph, graph.nodes):
        make(graph, job)
    return graph


def make(graph: Graph, job: Job) -> None:
    """Write an artifact as if its stage had made it."""
    threads = definition(job.stage).threads(graph)
    modules = code_of(job.modules)
    settings = job.decisive()
    origin = {
        "settings": {**settings, "threads": threads},
        "inputs": {
            place_of(folder, graph.layout.results): file_digest(folder / SUMS)
            for folders in job.inputs.values()
            for folder in folders
        },
        "code": {"identity": identity(modules), "roots": list(job.modules), "modules": modules},
    }
    with publish(job.folder, graph.layout.state, origin, Clock()) as draft:
        draft.write_json("made.json", job.stage)
        if job.files:
            draft.record(source_files={str(path): file_digest(path) for path in job.files})
