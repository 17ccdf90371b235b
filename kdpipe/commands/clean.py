"""The folders of a config's results that can be removed without any job running again."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdpipe import catalog
from kdpipe.artifacts.artifact import finished
from kdpipe.artifacts.faults import tell_fault
from kdpipe.artifacts.ownership import (
    foreign_in,
    lies_in,
    real_path,
    remove_folders,
    state_name,
    written_files,
)
from kdpipe.artifacts.sums import MANIFEST, SUMS
from kdpipe.commands.changes import changes, made_again
from kdpipe.errors import KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import jobs_for
from kdpipe.plan.stage import Job, definition
from kdpipe.runner.lock import is_free

USED = "a teacher's signals, used by all"
ABANDONED = "of no model in the config"
STATE_FOLDERS = {
    "checkpoints": "checkpoints of a finished artifact",
    "drafts": "half-written",
    "finished": f"a copy {ABANDONED}",
    "progress": "the progress of a job that has ended",
}


@dataclass(frozen=True)
class Leftover:
    """A folder that can be removed, what it was for, and the bytes of its files."""

    folder: Path
    why: str
    size: int


def find_leftovers(graph: Graph) -> tuple[list[Leftover], dict[Path, str]]:
    """Return the folders that can be removed, and the foreign folders in the same places, each with a reason.

    These are used caches, artifacts that no model needs, and state that no process will take up. A folder at
    which a process is at work is not among them.
    """
    jobs = jobs_for(graph, graph.nodes)
    again = _made_again(graph, jobs)
    abandoned = list(_abandoned(graph, jobs))
    places = [
        *((folder, USED) for folder in _used_caches(jobs, again)),
        *((folder, ABANDONED) for folder in abandoned),
        *_state(graph, jobs, again, abandoned),
    ]
    leftovers, foreign = [], {}
    for folder, why in places:
        if folder.is_dir() and _is_idle(graph, folder):
            if objection := _objection(graph, folder):
                foreign[folder] = objection
            else:
                leftovers.append(Leftover(folder, why, folder_size(folder)))
    return leftovers, foreign


def folder_size(folder: Path) -> int:
    """Return the bytes of the files in a folder, and below it; several names of one file count once."""
    facts = [path.lstat() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    return sum({(file.st_dev, file.st_ino): file.st_size for file in facts}.values())


def remove(graph: Graph, leftover: Leftover) -> None:
    """Remove a folder, and the copy that shares its room; after a crash nothing is left that looks whole.

    The manifest of used signals stays, because the report reads their cost there.

    Raises:
        KdpipeError: a file in the folder has become foreign, or cannot be removed.
    """
    if objection := _objection(graph, leftover.folder):
        raise KdpipeError(f"{leftover.folder} was left alone: {objection}")
    try:
        if _is_state(graph, leftover.folder):
            _remove_state(graph, leftover.folder)
        else:
            _remove_artifact(graph, leftover)
    except OSError as error:
        raise KdpipeError(tell_fault(error, leftover.folder) or str(error)) from None


def _remove_artifact(graph: Graph, leftover: Leftover) -> None:
    """Remove the files that kdpipe wrote; a folder that has received another file meanwhile stays."""
    # Without its list of digests a folder that is half removed is no artifact.
    written = written_files(leftover.folder, graph.layout.state)
    for name in (SUMS, *written):
        if name != MANIFEST or leftover.why != USED:
            (leftover.folder / name).unlink(missing_ok=True)
    remove_folders(leftover.folder, written)
    _remove_state(graph, finished(leftover.folder, graph.layout.state))
    if leftover.why != USED and not any(leftover.folder.iterdir()):
        leftover.folder.rmdir()


def _remove_state(graph: Graph, folder: Path) -> None:
    if folder.exists() and lies_in(folder, graph.layout.results):
        (folder / SUMS).unlink(missing_ok=True)
        shutil.rmtree(folder)


def _objection(graph: Graph, folder: Path) -> str:
    """Return what speaks against removing a folder; kdpipe wrote all files in the folder of state."""
    if not lies_in(folder, graph.layout.results):
        return "a link leads there"
    return "" if _is_state(graph, folder) else foreign_in(folder, graph.layout.state)


def _is_state(graph: Graph, folder: Path) -> bool:
    return graph.layout.state in folder.parents


def _made_again(graph: Graph, jobs: list[Job]) -> set[Path]:
    """Return the artifacts that are still to be made, or that a process makes now."""
    reasons = changes(graph, jobs)
    for job in jobs:
        state = definition(job.stage).state(graph)
        if not is_free(state / "locks" / state_name(job.folder, state)):
            reasons[job.folder] = ["a process makes it"]
    return made_again(jobs, reasons)


def _used_caches(jobs: list[Job], again: set[Path]) -> Iterator[Path]:
    """Yield the caches whose readers are all finished, if they have files besides a manifest."""
    readers: dict[Path, set[Path]] = {}
    for job in jobs:
        for folder in job.inputs.get("knowledge", ()):
            readers.setdefault(folder, set()).add(job.folder)
    for folder, models in readers.items():
        if not models & again and any(path.name != MANIFEST for path in folder.glob("*")):
            yield folder


def _abandoned(graph: Graph, jobs: list[Job]) -> Iterator[Path]:
    """Yield the folders of artifacts that no job makes and whose files no job reads; not empty folders."""
    known = {job.folder for job in jobs}
    read = {folder for job in jobs for file in job.files for folder in real_path(file).parents}
    stages = map(definition, catalog.STAGES)
    places = {stage.kind: len(stage.wildcards) for stage in stages if stage.kind and stage.wildcards}
    for kind, depth in sorted(places.items()):
        for folder in sorted((graph.layout.results / kind).glob("/".join("*" * depth))):
            if folder not in known and real_path(folder) not in read and any(folder.glob("*")):
                yield folder


def _state(
    graph: Graph, jobs: list[Job], again: set[Path], abandoned: list[Path]
) -> Iterator[tuple[Path, str]]:
    """Yield the folders of state that no process will take up, each with what it was for."""
    unfinished = [job.folder for job in jobs if job.folder in again or not (job.folder / SUMS).exists()]
    # Until Snakemake has seen the end of a job, it may remove the artifact and need the copy. The copy of an
    # abandoned artifact shares its room, and goes with it.
    needed = {"checkpoints": unfinished, "finished": [*(job.folder for job in jobs), *abandoned]}
    for kind, why in STATE_FOLDERS.items():
        names = {state_name(folder, graph.layout.state) for folder in needed.get(kind, ())}
        for folder in sorted((graph.layout.state / kind).glob("*")):
            if folder.name not in names:
                yield folder, why


def _is_idle(graph: Graph, folder: Path) -> bool:
    """Tell whether no process makes an artifact; the state of an artifact has the name of its lock."""
    state = graph.layout.state
    name = folder.name if _is_state(graph, folder) else state_name(folder, state)
    return is_free(state / "locks" / name)
