"""The folder of a config in small: a later `kdpipe shrink` replaces its own files, and no others."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from kdpipe.adapters.sources import source_of
from kdpipe.artifacts.faults import tell_fault
from kdpipe.artifacts.sums import file_digest
from kdpipe.commands.samples import write_model, write_sample
from kdpipe.commands.shrink import shrink
from kdpipe.config.document import read_config
from kdpipe.config.paths import folder_fault
from kdpipe.errors import KdpipeError
from kdpipe.plan.build import load_graph

# Lists the files that `kdpipe shrink` wrote, each with its digest.
LIST = ".shrunk.json"
# The places of these files in the folder; the results lie beside them.
WRITTEN = ("config.yaml", "data", "models")
REMEDY = "give a folder that is new or empty"


def write_shrunk(configs: Sequence[Path], output: Path, values: Mapping[str, str]) -> Iterator[str]:
    """Write a small copy of a graph to a folder, and yield what to say of it.

    Args:
        configs: the config files.
        output: the folder for config.yaml, sample data and results.
        values: values of matrix variables.

    Raises:
        KdpipeError: the config has mistakes, or nothing can be written to the folder.
    """
    if fault := folder_fault(output / "results"):
        raise KdpipeError(f"--output: {fault}")
    small = shrink(read_config(configs), output, values, lambda settings: source_of(settings).splits())
    file = output / "config.yaml"
    try:
        with rewritten(output, configs):
            for dataset in small.datasets:
                write_sample(dataset.sources[0], dataset.task)
            for model in small.models:
                write_model(model)
            text = yaml.safe_dump(small.config, sort_keys=False, allow_unicode=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        what = f"expected a folder, or a path where one can be made: {error}"
        raise KdpipeError(f"--output: {tell_fault(error, file) or what}") from None
    graph = load_graph([file])
    samples = [f"dataset {dataset.name}" for dataset in small.datasets]
    samples += [f"model {model.name}" for model in small.models]
    yield f"made up: {', '.join(samples) or 'nothing'}"
    yield f"report: {graph.layout.report / 'report.html'}, after this command:"
    yield f"kdpipe run {file} --cores 2"


@contextmanager
def rewritten(folder: Path, read: Sequence[Path]) -> Iterator[None]:
    """Remove what an earlier `kdpipe shrink` wrote to a folder, and list what the block writes there.

    Args:
        folder: the folder; the block may create it.
        read: the config files that the command reads.

    Raises:
        KdpipeError: the folder has files that are not listed or have changed since, or contains a config that
            the command reads.
    """
    _check(folder, read)
    folder.mkdir(parents=True, exist_ok=True)
    for file in list(_files(folder)):
        file.unlink()
    try:
        yield
    finally:
        # The list also names the files of a call that was stopped.
        listed = {str(file.relative_to(folder)): file_digest(file) for file in _files(folder)}
        (folder / LIST).write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


def _check(folder: Path, read: Sequence[Path]) -> None:
    place = os.path.realpath(folder)
    for config in read:
        if Path(os.path.realpath(config)).is_relative_to(place):
            raise KdpipeError(f"--output: {folder} contains {config}, which this command reads; {REMEDY}")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        listed: dict[str, str] = {**json.loads((folder / LIST).read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError, RecursionError):
        what = f"{folder} is not empty, and no earlier `kdpipe shrink` made it"
        raise KdpipeError(f"--output: {what}; {REMEDY}") from None
    for file in _files(folder):
        name = str(file.relative_to(folder))
        if file.is_symlink() or not file.is_file() or file_digest(file) != listed.get(name):
            what = f"{file} is not what an earlier `kdpipe shrink` wrote"
            raise KdpipeError(f"--output: {what}; move it away, or {REMEDY}")


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files in the places of `kdpipe shrink`, and all links."""
    for top in (folder / name for name in WRITTEN):
        if top.is_symlink() or top.is_file():
            yield top
            continue
        for place, folders, files in os.walk(top):
            paths = (Path(place, name) for name in (*folders, *files))
            yield from (path for path in paths if path.is_symlink() or not path.is_dir())
