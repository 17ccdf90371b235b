"""What has changed since an artifact was made: settings, inputs, code, and packages."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kdpipe.artifacts.artifact import read_manifest, versions
from kdpipe.artifacts.sums import MANIFEST, SUMS, file_digest
from kdpipe.config.graph import Graph
from kdpipe.config.identity import code_of, identity
from kdpipe.config.jobs import ONE_THREAD, Job, jobs_for
from kdpipe.errors import KdpipeError, suggest

NONE = object()


def explain(graph: Graph, model: str) -> str:
    """Return why a model and its scores would be made again, artifact by artifact, and what else changed.

    Raises:
        KdpipeError: there is no such model.
    """
    if model not in graph.nodes:
        raise KdpipeError(f"there is no model {model!r}; {suggest(model, graph.nodes)}")
    lines: list[str] = []
    noted: dict[str, None] = {}
    for job in jobs_for(graph, [model]):
        found = list(reasons(graph, job))
        noted |= dict.fromkeys(remarks(graph, job))
        if found:
            lines += [f"{job.folder} would be made again:", *(f"  {reason}" for reason in found)]
    if not lines:
        lines = [f"{model} is as the config says"]
    return "\n".join(
        [*lines, *(["no reason to make anything again:"] if noted else []), *(f"  {n}" for n in noted)]
    )


def reasons(graph: Graph, job: Job) -> Iterator[str]:
    """Yield why an artifact would be made again; that another one is, is not among them."""
    if not (job.folder / SUMS).exists() or not (job.folder / MANIFEST).exists():
        yield "it is not there"
        return
    manifest = read_manifest(job.folder)
    yield from _settings(manifest["settings"], job, graph.document.threads)
    yield from _inputs(manifest["inputs"], job)
    yield from _files(manifest.get("source_files"), job)
    if graph.document.rerun.code:
        yield from list(_code(manifest, job)) or _told(manifest, job)


def remarks(graph: Graph, job: Job) -> Iterator[str]:
    """Yield what has changed but is no reason to make an artifact again."""
    if not (job.folder / MANIFEST).exists():
        return
    manifest = read_manifest(job.folder)
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


def _files(then: Mapping[str, str] | None, job: Job) -> Iterator[str]:
    now = {str(file): file for file in job.files}
    made = (job.folder / SUMS).stat().st_mtime
    for name, file in now.items():
        if then is not None and name not in then:
            yield f"{file} is new"
        elif file.exists() and file.stat().st_mtime > made:
            yield f"{file} is newer"
    for name in sorted((then or {}).keys() - now):
        yield f"{name} is no longer read"


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
