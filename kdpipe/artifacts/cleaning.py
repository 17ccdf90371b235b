"""What of a config's results may be removed without anything having to be made again."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdpipe.artifacts.artifact import state_name
from kdpipe.artifacts.lock import is_free
from kdpipe.artifacts.sums import SUMS
from kdpipe.config.graph import Graph
from kdpipe.config.jobs import Job, jobs_for

# How many folders below its own an artifact of each kind lies.
DEPTHS = {
    "counts": 2,
    "data": 2,
    "evaluations": 2,
    "exports": 2,
    "importance": 3,
    "knowledge": 3,
    "models": 1,
}
STATE = {
    "checkpoints": "checkpoints of what is finished",
    "drafts": "half-written",
    "finished": "what is finished, once more",
}


@dataclass(frozen=True)
class Leftover:
    """A folder that may be removed.

    Args:
        folder: the folder.
        why: of what use it was.
        size: bytes of its files.
    """

    folder: Path
    why: str
    size: int


def find_leftovers(graph: Graph) -> list[Leftover]:
    """Return what may be removed: used caches, what no model needs, and state that nobody goes on from."""
    jobs = jobs_for(graph, graph.nodes)
    found = [*_used_caches(jobs), *_of_no_node(graph, jobs), *_state(graph, jobs)]
    return [Leftover(folder, why, _size(folder)) for folder, why in found]


def remove(leftover: Leftover) -> None:
    """Remove a folder; what breaks off leaves no artifact that looks whole."""
    (leftover.folder / SUMS).unlink(missing_ok=True)
    shutil.rmtree(leftover.folder)


def _used_caches(jobs: list[Job]) -> Iterator[tuple[Path, str]]:
    readers: dict[Path, list[Path]] = {}
    for job in jobs:
        for folder in job.inputs.get("knowledge", ()):
            readers.setdefault(folder, []).append(job.folder)
    for folder, models in readers.items():
        if folder.exists() and all((model / SUMS).exists() for model in models):
            yield folder, "a teacher's signals, used by all"


def _of_no_node(graph: Graph, jobs: list[Job]) -> Iterator[tuple[Path, str]]:
    known = {job.folder for job in jobs}
    for kind, depth in DEPTHS.items():
        for folder in sorted((graph.layout.results / kind).glob("/".join("*" * depth))):
            if folder not in known:
                yield folder, "of no model in the config"


def _state(graph: Graph, jobs: list[Job]) -> Iterator[tuple[Path, str]]:
    unfinished = {state_name(job.folder) for job in jobs if not (job.folder / SUMS).exists()}
    for kind, why in STATE.items():
        for folder in sorted((graph.layout.state / kind).glob("*")):
            if is_free(graph.layout.state / "locks" / folder.name) and (
                kind == "drafts" or folder.name not in unfinished
            ):
                yield folder, why


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
