"""What has changed since an artifact was made: settings, inputs, code, and packages.

The manifest of an artifact says what it was made from, wherever its folder lies, and so decides whether
the artifact is made again. Neither the times of files nor the records of Snakemake decide it.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kdpipe.artifacts.artifact import read_manifest, versions
from kdpipe.artifacts.digests import known_digest
from kdpipe.artifacts.ownership import place_of
from kdpipe.artifacts.sums import MANIFEST, SUMS, read_sums
from kdpipe.config.settings.base import read_number
from kdpipe.errors import KdpipeError, suggest
from kdpipe.plan.graph import Graph
from kdpipe.plan.identity import code_of
from kdpipe.plan.jobs import jobs_for
from kdpipe.plan.stage import Job, definition

NONE = object()


def explain_changes(graph: Graph, model: str) -> str:
    """Return why a model and its scores would be made again, artifact by artifact, and what else changed.

    Raises:
        KdpipeError: there is no such model.
    """
    if model not in graph.nodes:
        raise KdpipeError(f"there is no model {model!r}; {suggest(model, graph.nodes)}")
    jobs, lines = jobs_for(graph, [model]), list[str]()
    # An artifact that only another model misses is made again for all that read it.
    reasons = changes(graph, jobs_for(graph, graph.nodes))
    for job in jobs:
        if reasons[job.folder]:
            lines += [f"{job.folder} would be made again:", *(f"  {why}" for why in reasons[job.folder])]
    notes = [note for job in jobs for note in (*unseen(job, reasons[job.folder]), *_notes(graph, job))]
    heading = ["no reason to make anything again:"] if notes else []
    again = made_again(jobs, reasons)
    lines += [line for job in jobs if not reasons[job.folder] for line in _follows(job, again)]
    lines = lines or [f"{model} is as the config says"]
    return "\n".join([*lines, *heading, *(f"  {note}" for note in dict.fromkeys(notes))])


def changes(graph: Graph, jobs: Sequence[Job], asked: Collection[Path] = ()) -> dict[Path, list[str]]:
    """Return why each artifact would be made again, apart from the artifacts that it reads.

    An artifact that is made only to be read is not missed as long as none of its readers would be made again.

    Args:
        graph: the graph.
        jobs: the jobs, each after the jobs that it reads from.
        asked: artifacts that the user wants to be made again.
    """
    reasons, idle = {}, set()
    for job in jobs:
        missing, changed = list(_missing(job)), list(_changed(graph, job))
        request = ["it was asked for"] if job.folder in asked else []
        reasons[job.folder] = [*request, *missing, *changed]
        if definition(job.stage).only_read and missing and not changed and not request:
            idle.add(job.folder)
    while True:
        needed = {folder: [] if folder in idle else why for folder, why in reasons.items()}
        again = made_again(jobs, needed) - idle
        missed = {folder for job in jobs if job.folder in again for folder in job.reads()} & idle
        if not missed:
            return needed
        idle -= missed


def made_again(jobs: Sequence[Job], reasons: Mapping[Path, Collection[str]]) -> set[Path]:
    """Return the artifacts that would be made again, for a reason or with an artifact that they read."""
    again: set[Path] = set()
    for job in jobs:
        if reasons.get(job.folder) or not again.isdisjoint(job.reads()):
            again.add(job.folder)
    return again


def _follows(job: Job, again: Collection[Path]) -> Iterator[str]:
    """Yield from which artifacts an artifact would be made again that has no reason of its own."""
    if job.folder in again:
        read = ", ".join(str(folder) for folder in job.reads() if folder in again)
        yield f"{job.folder} would be made again, as it is made from {read}"


def unseen(job: Job, reasons: Collection[str]) -> Iterator[str]:
    """Yield a note on an artifact that is gone with its manifest, if it is not made again."""
    if definition(job.stage).only_read and not reasons and not os.path.lexists(job.folder / MANIFEST):
        yield f"{job.folder} is not there; a change of its settings, files or code would go unseen here"


def _missing(job: Job) -> Iterator[str]:
    """Yield the missing parts and copies of an artifact."""
    folder = job.folder
    if not (folder / SUMS).is_file() or not (folder / MANIFEST).exists():
        yield "it is not there"
        return
    try:
        names = read_sums(folder)
    except KdpipeError:
        yield f"its {SUMS} is not as it was written"
        return
    yield from (f"its {name} is not there" for name in names if not (folder / name).is_file())
    yield from (f"{file} is not there" for file in job.copies if not os.path.lexists(file))


def _changed(graph: Graph, job: Job) -> Iterator[str]:
    """Yield what is no longer as the manifest of an artifact says; its files may be gone."""
    if not os.path.lexists(job.folder / MANIFEST):
        return
    try:
        manifest = read_manifest(job.folder)
    except KdpipeError as error:
        yield str(error)
        return
    yield from _settings(manifest.get("settings", {}), job, graph)
    yield from _inputs(manifest.get("inputs", {}), job, graph.layout.results)
    yield from _files(manifest, job)
    if graph.document.rerun.code:
        yield from _code(manifest, job)


def _notes(graph: Graph, job: Job) -> Iterator[str]:
    """Yield what has changed but is no reason to make an artifact again."""
    if any(_missing(job)):
        return
    # A damaged manifest is among the reasons.
    with suppress(KdpipeError):
        manifest = read_manifest(job.folder)
        for package, then, now in differences(manifest["versions"], versions()):
            yield f"{package} {_in_words(then, now)}"
        if not graph.document.rerun.code:
            yield from _code(manifest, job)


def _settings(then: Mapping[str, Any], job: Job, graph: Graph) -> Iterator[str]:
    now = job.decisive()
    stage = definition(job.stage)
    if not stage.one_thread:
        now["threads"] = stage.threads(graph)
    before = {option: then.get(option) for option in now}
    for path, old, new in setting_differences(before, now):
        yield f"{path} {_in_words(old, new)}"


def _inputs(then: Mapping[str, str], job: Job, results: Path) -> Iterator[str]:
    now = {place_of(folder, results): folder for folders in job.inputs.values() for folder in folders}
    for name, folder in now.items():
        if name not in then:
            yield f"it is now made from {folder}"
        elif (folder / SUMS).is_file() and known_digest(folder / SUMS) != then[name]:
            yield f"{folder} has changed"
    for name in sorted(then.keys() - now):
        yield f"it is no longer made from {results / name}"


def _files(manifest: Mapping[str, Any], job: Job) -> Iterator[str]:
    then = manifest.get("source_files") or {}
    now = {definition(job.stage).named(file): file for file in job.files}
    for name, file in now.items():
        if name not in then:
            yield f"{file} is new"
        elif file.exists() and known_digest(file) != then[name]:
            yield f"{file} has changed"
    for name in sorted(then.keys() - now):
        yield f"{name} is no longer read"


def _code(manifest: Mapping[str, Any], job: Job) -> Iterator[str]:
    if "code" not in manifest:
        yield "its manifest does not name the code that made it"
        return
    for module, then, now in differences(manifest["code"]["modules"], code_of(job.modules)):
        how = "has changed" if NONE not in (then, now) else _in_words(then, now)
        yield f"{module} {how}"


def _in_words(then: Any, now: Any) -> str:
    if then is NONE:
        return "is new"
    return "is gone" if now is NONE else f"was {json.dumps(then)} and is {json.dumps(now)}"


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield what two mappings do not share: the key and both values, `NONE` where there is none."""
    for key in sorted(then.keys() | now.keys()):
        pair = then.get(key, NONE), now.get(key, NONE)
        if pair[0] != pair[1]:
            yield key, *pair


def setting_differences(then: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the settings that two configs do not share: the key path and both values.

    A value is `NONE` where there is none. Settings that one config has as a whole are one difference.
    """
    # JSON writes a small decimal as YAML reads a text.
    then, now = read_number(then), read_number(now)
    for kind in (dict, list):
        if isinstance(then, kind) and isinstance(now, kind):
            old, new = _by_key(then), _by_key(now)
            for key in sorted(old.keys() | new.keys()):
                place = f"{path}.{key}" if path else str(key)
                yield from setting_differences(old.get(key, NONE), new.get(key, NONE), place)
            return
    # Settings that are left out are null in a whole config.
    before, after = (
        NONE if side is None and isinstance(other, dict | list) else side
        for side, other in ((then, now), (now, then))
    )
    if before != after:
        yield path, before, after


def _by_key(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else dict(enumerate(value))
