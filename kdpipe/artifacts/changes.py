"""What has changed since an artifact was made: settings, inputs, code, and packages."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdpipe.artifacts.artifact import read_manifest, versions
from kdpipe.artifacts.sums import MANIFEST, SUMS, file_digest
from kdpipe.config.graph import Graph
from kdpipe.config.identity import code_of, identity
from kdpipe.config.jobs import ONE_THREAD, Job, jobs_for
from kdpipe.errors import KdpipeError, suggest

NONE = object()
# What nobody asks for by itself: it is made when something that reads it is.
ONLY_READ = ("cache_teacher", "count_tokens", "preprocess", "score_importance")
# Up to this many bytes Snakemake compares the contents of a file that is newer.
COMPARED = 1_000_000


def explain(graph: Graph, model: str) -> str:
    """Return why a model and its scores would be made again, artifact by artifact, and what else changed.

    Raises:
        KdpipeError: there is no such model.
    """
    if model not in graph.nodes:
        raise KdpipeError(f"there is no model {model!r}; {suggest(model, graph.nodes)}")
    jobs = jobs_for(graph, [model])
    lines: list[str] = []
    # What only other models miss is made again for all that read it.
    why = changes(graph, jobs_for(graph, graph.nodes))
    for job in jobs:
        if found := why[job.folder]:
            lines += [f"{job.folder} would be made again:", *(f"  {reason}" for reason in found)]
    noted = dict.fromkeys(
        remark for job in jobs for remark in (*_unseen(job, why[job.folder]), *remarks(graph, job))
    )
    if not lines:
        lines = [f"{model} is as the config says"]
    return "\n".join(
        [*lines, *(["no reason to make anything again:"] if noted else []), *(f"  {n}" for n in noted)]
    )


def changes(graph: Graph, jobs: Sequence[Job]) -> dict[Path, list[str]]:
    """Return why each artifact would be made again; that another one is, is not among the reasons.

    What is made only to be read is not missed as long as nothing that reads it would be made again.

    Args:
        graph: the graph.
        jobs: each after those that it reads from.
    """
    found = {job.folder: list(_reasons(graph, job)) for job in jobs}
    idle = {job.folder for job in jobs if _is_spent(job)}
    while True:
        why = {folder: [] if folder in idle else reasons for folder, reasons in found.items()}
        again = made_again(jobs, why) - idle
        missed = {folder for job in jobs if job.folder in again for folder in _read(job)} & idle
        if not missed:
            return why
        idle -= missed


def made_again(jobs: Sequence[Job], why: Mapping[Path, Collection[str]]) -> set[Path]:
    """Return the artifacts that would be made again, for a reason or because one that they read would be."""
    again: set[Path] = set()
    for job in jobs:
        if why.get(job.folder) or _read(job) & again:
            again.add(job.folder)
    return again


def _is_spent(job: Job) -> bool:
    """Tell whether something that is made only to be read is not there."""
    return job.stage in ONLY_READ and not (job.folder / SUMS).exists()


def _read(job: Job) -> set[Path]:
    return {folder for folders in job.inputs.values() for folder in folders}


def _reasons(graph: Graph, job: Job) -> Iterator[str]:
    if not (job.folder / SUMS).exists() or not (job.folder / MANIFEST).exists():
        yield "it is not there"
        return
    manifest = read_manifest(job.folder)
    yield from _settings(manifest["settings"], job, graph.document.threads)
    yield from _inputs(manifest["inputs"], job)
    yield from _files(manifest, job)
    if graph.document.rerun.code:
        yield from list(_code(manifest, job)) or _told(manifest, job)


def _unseen(job: Job, why: Collection[str]) -> Iterator[str]:
    if _is_spent(job) and not why:
        yield f"{job.folder} is not there; that its settings, files or code have changed would go unseen here"


def remarks(graph: Graph, job: Job) -> Iterator[str]:
    """Yield what has changed but is no reason to make an artifact again."""
    if not (job.folder / SUMS).exists() or not (job.folder / MANIFEST).exists():
        return
    manifest = read_manifest(job.folder)
    for file in _edited(manifest, job, newer=False):
        yield f"{file} has changed, but is older than what was made from it, and times count: touch it"
    for package, then, now in _differences(manifest["versions"], versions()):
        yield f"{package} {_said(then, now)}"
    if not graph.document.rerun.code:
        yield from _code(manifest, job)


def _settings(then: Mapping[str, Any], job: Job, threads: int) -> Iterator[str]:
    now = {option: json.loads(text) for option, text in job.told().items()}
    if job.stage not in ONE_THREAD:
        now["threads"] = threads
    before = {option: then.get(option) for option in now}
    for path, old, new in _differences(_flat(before), _flat(now)):
        yield f"{path} {_said(old, new)}"


def _inputs(then: Mapping[str, str], job: Job) -> Iterator[str]:
    now = {str(folder): folder for folders in job.inputs.values() for folder in folders}
    for name, folder in now.items():
        if name not in then:
            yield f"it is now made from {folder}"
        elif (folder / SUMS).exists() and file_digest(folder / SUMS) != then[name]:
            yield f"{folder} has changed"
    for name in sorted(then.keys() - now):
        yield f"it is no longer made from {name}"


def _files(manifest: Mapping[str, Any], job: Job) -> Iterator[str]:
    then, now = manifest.get("source_files"), {str(file): file for file in job.files}
    edited = set(_edited(manifest, job, newer=True))
    for name, file in now.items():
        if then is not None and name not in then:
            yield f"{file} is new"
        elif file in edited:
            yield f"{file} has changed"
        elif file.exists() and _is_newer(file, job) and (then is None or file.stat().st_size > COMPARED):
            yield f"{file} is newer"
    for name in sorted((then or {}).keys() - now):
        yield f"{name} is no longer read"


def _edited(manifest: Mapping[str, Any], job: Job, *, newer: bool) -> Iterator[Path]:
    """Yield the newer or the older files that are not what they were when an artifact was made."""
    then = manifest.get("source_files") or {}
    for file in job.files:
        known = str(file) in then and file.exists() and _is_newer(file, job) == newer
        if known and file_digest(file) != then[str(file)]:
            yield file


def _is_newer(file: Path, job: Job) -> bool:
    return file.stat().st_mtime > (job.folder / SUMS).stat().st_mtime


def _code(manifest: Mapping[str, Any], job: Job) -> Iterator[str]:
    if "code" not in manifest:
        yield "its manifest does not say what code made it"
        return
    for module, then, now in _differences(manifest["code"]["modules"], code_of(job.modules)):
        how = "has changed" if NONE not in (then, now) else _said(then, now)
        yield f"{module} {how}"


def _told(manifest: Mapping[str, Any], job: Job) -> Iterator[str]:
    """Yield whether the workflow still takes it for what older code made."""
    code = manifest["code"]
    if code.get("told", code["identity"]) != identity(code_of(job.modules)):
        yield "it was made while `rerun: {code: false}` held"


def _said(then: Any, now: Any) -> str:
    if then is NONE:
        return "is new"
    return "is gone" if now is NONE else f"was {json.dumps(then)} and is {json.dumps(now)}"


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted(then.keys() | now.keys()):
        pair = then.get(key, NONE), now.get(key, NONE)
        if pair[0] != pair[1]:
            yield key, *pair


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return the values of nested mappings and lists by their key paths."""
    if isinstance(value, Mapping) and value:
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and value:
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        return {path: value}
    return {k: v for key, item in items for k, v in _flat(item, f"{path}.{key}" if path else key).items()}
