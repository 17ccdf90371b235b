"""What of a config's results may be removed without anything having to be made again."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdpipe import catalog
from kdpipe.artifacts.artifact import finished
from kdpipe.artifacts.faults import tell_fault
from kdpipe.artifacts.ownership import foreign_in, lies_in, real_path, state_name, written_files
from kdpipe.artifacts.sums import MANIFEST, SUMS
from kdpipe.commands.changes import changes, made_again
from kdpipe.errors import KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import jobs_for
from kdpipe.plan.stage import Job, definition
from kdpipe.runner.lock import is_free

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


def find_leftovers(graph: Graph) -> tuple[list[Leftover], dict[Path, str]]:
    """Return what may be removed, and the folders in the same places that are not kdpipe's own, with why.

    Used caches may be, artifacts that no model needs, and state that nobody goes on from; not what a process
    is at work on.
    """
    jobs = jobs_for(graph, graph.nodes)
    again = _made_again(graph, jobs)
    strange = list(_of_no_node(graph, jobs))
    places = [
        *_used_caches(jobs, again),
        *((folder, "of no model in the config") for folder in strange),
        *_state(graph, jobs, again, strange),
    ]
    found, foreign = [], {}
    for folder, why in places:
        if folder.is_dir() and _is_idle(graph, folder):
            if against := _foreign(graph, folder):
                foreign[folder] = against
            else:
                found.append(Leftover(folder, why, _size(folder)))
    return found, foreign


def remove(graph: Graph, leftover: Leftover) -> None:
    """Remove a folder and the copy that shares its room; what breaks off leaves nothing that looks whole.

    Of used signals the manifest stays, by which a report tells what they cost.

    Raises:
        KdpipeError: something in it has become another's, or cannot be removed.
    """
    if against := _foreign(graph, leftover.folder):
        raise KdpipeError(f"{leftover.folder} was left alone: {against}")
    try:
        if _is_state(graph, leftover.folder):
            _remove_state(graph, leftover.folder)
        else:
            _remove_artifact(graph, leftover)
    except OSError as error:
        raise KdpipeError(tell_fault(error, leftover.folder) or str(error)) from None


def _remove_artifact(graph: Graph, leftover: Leftover) -> None:
    """Remove the files that are kdpipe's own; a folder into which another came meanwhile stays."""
    # Without its list of digests a folder that is half removed is no artifact.
    for name in (SUMS, *written_files(leftover.folder, graph.layout.state)):
        if name != MANIFEST or leftover.why != USED:
            (leftover.folder / name).unlink(missing_ok=True)
    _remove_state(graph, finished(leftover.folder, graph.layout.state))
    if leftover.why != USED and not any(leftover.folder.iterdir()):
        leftover.folder.rmdir()


def _remove_state(graph: Graph, folder: Path) -> None:
    if folder.exists() and lies_in(folder, graph.layout.results):
        (folder / SUMS).unlink(missing_ok=True)
        shutil.rmtree(folder)


def _foreign(graph: Graph, folder: Path) -> str:
    """Return what speaks against removing a folder; what lies in the folder of state is kdpipe's own."""
    if not lies_in(folder, graph.layout.results):
        return "a link leads there"
    return "" if _is_state(graph, folder) else foreign_in(folder, graph.layout.state)


def _is_state(graph: Graph, folder: Path) -> bool:
    return graph.layout.state in folder.parents


def _made_again(graph: Graph, jobs: list[Job]) -> set[Path]:
    """Return the artifacts that are still to be made, or are being made."""
    why = changes(graph, jobs)
    busy = {
        job.folder: ["it is being made"]
        for job in jobs
        if not is_free(_lock(definition(job.stage).state(graph), job.folder))
    }
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
    return [path for path in folder.glob("*") if path.name != MANIFEST]


def _of_no_node(graph: Graph, jobs: list[Job]) -> Iterator[Path]:
    """Yield folders of no job, of which none reads a file; one that is empty takes no room."""
    known = {job.folder for job in jobs}
    read = {folder for job in jobs for file in job.files for folder in real_path(file).parents}
    stages = map(definition, catalog.STAGES)
    places = {stage.kind: len(stage.wildcards) for stage in stages if stage.kind and stage.wildcards}
    for kind, depth in sorted(places.items()):
        for folder in sorted((graph.layout.results / kind).glob("/".join("*" * depth))):
            if folder not in known and real_path(folder) not in read and any(folder.glob("*")):
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
    return is_free(state / "locks" / folder.name if _is_state(graph, folder) else _lock(state, folder))


def _lock(state: Path, folder: Path) -> Path:
    return state / "locks" / state_name(folder, state)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
