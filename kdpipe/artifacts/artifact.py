"""Artifacts appear whole or not at all: written in a draft folder, then moved, their digests last."""

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
    state_name,
    written_files,
)
from kdpipe.artifacts.state import discard
from kdpipe.artifacts.sums import MANIFEST, SUMS, damaged, read_listing, read_sums, write_sums
from kdpipe.environment import acting
from kdpipe.errors import KdpipeError

PACKAGES = (
    "kdpipe",
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "safetensors",
    "pyarrow",
    "numpy",
    "scikit-learn",
    "scipy",
    "seqeval",
    # With some of those above, the texts of the source `pydoc`.
    "huggingface-hub",
    "matplotlib",
    "networkx",
    "pandas",
)


@dataclass
class Draft:
    """An artifact that is being written.

    Args:
        folder: where its files go until it is whole.
        facts: what its manifest says besides what every manifest says.
    """

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
    """Write an artifact: yields a draft, and moves it to `output` if the block ends without an error.

    Args:
        output: the artifact's folder.
        state: folder on the same file system for the draft.
        origin: what it is made from and by, for its manifest.
        clock: how long its stage has worked.

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
            "device": _device(),
            "seconds": round(clock.seconds(), 3),
            **draft.facts,
        }
        draft.write_json(MANIFEST, manifest)
        write_sums(draft.folder)
        # What else it may be made from has to be known; and not every file system has links.
        if origin.get("inputs") or "source_files" in draft.facts:
            with suppress(OSError, shutil.Error):
                _link(draft.folder, finished(output, state))
        _move(draft.folder, output, state)
    finally:
        shutil.rmtree(draft.folder, ignore_errors=True)


def finished(output: Path, state: Path) -> Path:
    """Return where an artifact stays until its workflow has ended.

    A workflow that was killed takes what was being made for half-written and removes it when it is started
    again, also if the process that made it has outlived the workflow and finished it.
    """
    return state / "finished" / state_name(output, state)


def restore(output: Path, state: Path) -> None:
    """Put back an artifact that was removed."""
    draft = state / "drafts" / state_name(output, state)
    _link(finished(output, state), draft)
    _move(draft, output, state)
    # To move a link to where the same file is does nothing.
    shutil.rmtree(draft)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return an artifact's manifest.

    Raises:
        KdpipeError: it is missing, not as it was written, or may not be read.
    """
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
    """Move what was written to its folder, in place of what an earlier run wrote there."""
    check_folder(output, state)
    # An artifact may have no files but those that tell of it.
    sums = read_sums(draft) if (draft / SUMS).stat().st_size else {}
    new = {path.name: [facts_of(path, sums.get(path.name))] for path in draft.iterdir()}
    old = {name: files for name, files in written_files(output, state).items() if (output / name).exists()}
    # A run that is killed before all is moved leaves files of both.
    note_written(output, state, {name: [*old.get(name, ()), *new.get(name, ())] for name in {**old, **new}})
    output.mkdir(parents=True, exist_ok=True)
    (output / SUMS).unlink(missing_ok=True)
    for name in old.keys() - new.keys() - {SUMS}:
        (output / name).unlink()
    for path in sorted(draft.iterdir()):
        if path.name != SUMS:
            path.replace(output / path.name)
    (draft / SUMS).replace(output / SUMS)
    note_written(output, state, new)


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return check_output(command, text=True, stderr=DEVNULL).strip()
    except (OSError, CalledProcessError):
        return None


def _device() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"cpu as of {acts}" if (acts := acting()) else "cpu"
