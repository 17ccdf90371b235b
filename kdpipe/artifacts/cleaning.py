"""What of a config's results may be removed without anything having to be made again."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdpipe.artifacts.artifact import finished
from kdpipe.artifacts.changes import changes, made_again
from kdpipe.artifacts.lock import is_free
from kdpipe.artifacts.ownership import state_name
from kdpipe.artifacts.sums import MANIFEST, SUMS
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
USED = "a teacher's signals, used by all"
STATE = {
    "checkpoints": "checkpoints of what is finished",
    "drafts": "half-written",
    "finished": "of no model in the config, once more",
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
    """Return what may be removed: used caches, what no model needs, and state that nobody goes on from.

    What a process is at work on is not among them, nor what is no folder of its own.
    """
    jobs = jobs_for(graph, graph.nodes)
    again = _made_again(graph, jobs)
    strange = list(_of_no_node(graph, jobs))
    found = [
        *_used_caches(jobs, again),
        *((folder, "of no model in the config") for folder in strange),
        *_state(graph, jobs, again, strange),
    ]
    return [
        Leftover(folder, why, _size(folder))
        for folder, why in found
        if folder.is_dir() and not folder.is_symlink() and _is_idle(graph, folder)
    ]


def remove(graph: Graph, leftover: Leftover) -> None:
    """Remove a folder and the copy that shares its room; what breaks off leaves nothing that looks whole.

    Of used signals the manifest stays, by which a report tells what they cost.
    """
    (leftover.folder / SUMS).unlink(missing_ok=True)
    copied = finished(leftover.folder, graph.layout.state)
    if copied.exists():
        shutil.rmtree(copied)
    if leftover.why != USED:
        shutil.rmtree(leftover.folder)
        return
    for path in _contents(leftover.folder):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _made_again(graph: Graph, jobs: list[Job]) -> set[Path]:
    """Return the artifacts that are still to be made, or are being made."""
    why = changes(graph, jobs)
    busy = {job.folder: ["it is being made"] for job in jobs if not _is_idle(graph, job.folder)}
    return made_again(jobs, {**why, **busy})


def _used_caches(jobs: list[Job], again: set[Path]) -> Iterator[tuple[Path, str]]:
    readers: dict[Path, set[Path]] = {}
    for job in jobs:
        for folder in job.inputs.get("knowledge", ()):
            readers.setdefault(folder, set()).add(job.folder)
    for folder, models in readers.items():
        if not models & again and folder.is_dir() and any(_contents(folder)):
            yield folder, USED


def _contents(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != MANIFEST]


def _of_no_node(graph: Graph, jobs: list[Job]) -> Iterator[Path]:
    known = {job.folder for job in jobs}
    for kind, depth in DEPTHS.items():
        for folder in sorted((graph.layout.results / kind).glob("/".join("*" * depth))):
            if folder not in known:
                yield folder


def _state(
    graph: Graph, jobs: list[Job], again: set[Path], strange: list[Path]
) -> Iterator[tuple[Path, str]]:
    unfinished = {job.folder for job in jobs if job.folder in again or not (job.folder / SUMS).exists()}
    # Until Snakemake has seen that something is finished, it may remove it and need the copy.
    # The copy of what is of no node shares its room, and goes with it.
    kept = {
        "checkpoints": {state_name(folder, graph.layout.state) for folder in unfinished},
        "finished": {
            state_name(folder, graph.layout.state) for folder in (*(job.folder for job in jobs), *strange)
        },
    }
    for kind, why in STATE.items():
        for folder in sorted((graph.layout.state / kind).glob("*")):
            if folder.name not in kept.get(kind, ()):
                yield folder, why


def _is_idle(graph: Graph, folder: Path) -> bool:
    """Tell whether no process makes an artifact; its state is called by the name of its lock."""
    state = graph.layout.state
    return is_free(state / "locks" / (folder.name if state in folder.parents else state_name(folder, state)))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
