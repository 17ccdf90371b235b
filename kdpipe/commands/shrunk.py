"""The folder of a config in small: a later `kdpipe shrink` replaces its own files, and no others."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kdpipe.artifacts.sums import file_digest
from kdpipe.errors import KdpipeError

# Lists the files that `kdpipe shrink` wrote, each with its digest.
LIST = ".shrunk.json"
# The places of these files in the folder; the results lie beside them.
WRITTEN = ("config.yaml", "data", "models")
REMEDY = "give a folder that is new or empty"


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
