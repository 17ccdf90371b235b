"""An artifact appears whole or not at all: a stage writes a draft, and the list of digests is moved last."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import DEVNULL, CalledProcessError, check_output
from typing import Any

from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.manifest import parse_manifest
from kdpipe.artifacts.ownership import (
    PLACE,
    check_folder,
    facts_of,
    note_written,
    place_of,
    remove_folders,
    state_name,
    written_files,
)
from kdpipe.artifacts.state import discard
from kdpipe.artifacts.sums import MANIFEST, SUMS, damaged, files_below, read_listing, read_sums, write_sums
from kdpipe.environment import acting
from kdpipe.errors import KdpipeError
from kdpipe.processes import processor

PACKAGES = (
    "kdpipe",
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "safetensors",
    "pyarrow",
    "datasets",
    "numpy",
    "scikit-learn",
    "scipy",
    "seqeval",
    # The source `pydoc` also reads the docstrings of these packages.
    "huggingface-hub",
    "matplotlib",
    "networkx",
    "pandas",
)


@dataclass
class Draft:
    """The folder of an artifact that is not yet whole, and the stage's entries in its manifest."""

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)

    def record(self, **facts: Any) -> None:
        """Add facts to the manifest, such as the examples and tokens seen."""
        self.facts.update(facts)

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file of the artifact."""
        text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True)
        (self.folder / name).write_text(text + "\n", encoding="utf-8")


@contextmanager
def publish(output: Path, state: Path, origin: Mapping[str, Any], clock: Clock) -> Iterator[Draft]:
    """Write an artifact: yield a draft, and move the draft to `output` if the block raises no error.

    The folder of state takes the draft, so it is on the same file system. The manifest begins with `origin`,
    the artifact's settings, inputs and code.

    Raises:
        KdpipeError: the folder has files that kdpipe did not write.
    """
    check_folder(output, state)
    draft = Draft(state / "drafts" / state_name(output, state))
    discard(draft.folder)
    draft.folder.mkdir(parents=True)
    try:
        yield draft
        manifest = {
            **origin,
            PLACE: place_of(output, state.parent),
            "versions": versions(),
            "commit": _commit(),
            "device": device(),
            "machine": f"{processor()}, {os.cpu_count()} cores",
            "seconds": round(clock.seconds(), 3),
            **draft.facts,
        }
        draft.write_json(MANIFEST, manifest)
        write_sums(draft.folder)
        # Without its inputs nobody could tell later whether the artifact is up to date. Some file systems
        # have no links.
        if origin.get("inputs") or "source_files" in draft.facts:
            with suppress(OSError, shutil.Error):
                _link(draft.folder, finished(output, state))
        _move(draft.folder, output, state)
    finally:
        shutil.rmtree(draft.folder, ignore_errors=True)


def finished(output: Path, state: Path) -> Path:
    """Return the folder that holds a finished artifact until its workflow has ended.

    A killed workflow removes the outputs of its unfinished jobs when it starts again. It does so even if the
    process of a job outlived the workflow and finished the artifact.
    """
    return state / "finished" / state_name(output, state)


def restore(output: Path, state: Path) -> None:
    """Put back an artifact that was removed."""
    draft = state / "drafts" / state_name(output, state)
    _link(finished(output, state), draft)
    _move(draft, output, state)
    # A file that is there already is not moved, as both names are links to it.
    shutil.rmtree(draft)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return an artifact's manifest; raise KdpipeError if it is missing, was changed, or may not be read."""
    try:
        return parse_manifest(read_listing(folder / MANIFEST))
    except FileNotFoundError:
        raise KdpipeError(f"{folder / MANIFEST} is missing; run its stage again") from None
    except ValueError:
        raise KdpipeError(damaged(folder / MANIFEST)) from None


def _link(folder: Path, copy: Path) -> None:
    discard(copy)
    shutil.copytree(folder, copy, copy_function=os.link)


def _move(draft: Path, output: Path, state: Path) -> None:
    """Move a draft to the artifact's folder, in place of the files of an earlier run."""
    check_folder(output, state)
    # An artifact may have no files but its manifest and its list of digests.
    sums = read_sums(draft) if (draft / SUMS).stat().st_size else {}
    new = {name: [facts_of(draft / name, sums.get(name))] for name in files_below(draft)}
    listed = written_files(output, state)
    old = {name: files for name, files in listed.items() if (output / name).exists()}
    # A run that is killed during the move leaves old and new files.
    note_written(output, state, {name: [*old.get(name, ()), *new.get(name, ())] for name in {**old, **new}})
    output.mkdir(parents=True, exist_ok=True)
    (output / SUMS).unlink(missing_ok=True)
    for name in old.keys() - new.keys() - {SUMS}:
        (output / name).unlink()
    for name in sorted(new.keys() - {SUMS}):
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).replace(output / name)
    # A run that was killed here before has left the folders of files that are gone.
    remove_folders(output, listed)
    (draft / SUMS).replace(output / SUMS)
    note_written(output, state, new)


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    numbers = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            numbers[package] = version(package)
    return numbers


@cache
def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return check_output(command, text=True, stderr=DEVNULL).strip()
    except (OSError, CalledProcessError):
        return None


def device() -> str:
    """Return the name of the GPU, or `cpu` and how the processor acts."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"cpu as of {acts}" if (acts := acting()) else "cpu"
