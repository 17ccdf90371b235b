"""The folder of a config in small: it may be made anew, but nothing else is ever overwritten."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kdpipe.artifacts.sums import file_digest
from kdpipe.errors import KdpipeError

# Lists the files that `kdpipe shrink` wrote, each with its digest.
LIST = ".shrunk.json"
# Where it writes; the results lie beside.
WRITTEN = ("config.yaml", "data", "models")
REMEDY = "give a folder that is new or empty"


@contextmanager
def rewritten(folder: Path, read: Sequence[Path]) -> Iterator[None]:
    """Remove what an earlier `kdpipe shrink` wrote to a folder, and list what the block writes there.

    Args:
        folder: the folder, which is made if it is not there.
        read: the config files that are read.

    Raises:
        KdpipeError: the folder has files that are not listed or have changed since, or those that are read.
    """
    _check(folder, read)
    folder.mkdir(parents=True, exist_ok=True)
    for file in list(_files(folder)):
        file.unlink()
    try:
        yield
    finally:
        # What a call wrote that was stopped is its own too.
        made = {str(file.relative_to(folder)): file_digest(file) for file in _files(folder)}
        (folder / LIST).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def _check(folder: Path, read: Sequence[Path]) -> None:
    place = os.path.realpath(folder)
    for config in read:
        if Path(os.path.realpath(config)).is_relative_to(place):
            raise KdpipeError(f"--output: {config}, which is read, lies in {folder}; {REMEDY}")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    listed = _listed(folder)
    if listed is None:
        what = f"{folder} is not empty, and no earlier `kdpipe shrink` made it"
        raise KdpipeError(f"--output: {what}; {REMEDY}")
    for file in _files(folder):
        name = str(file.relative_to(folder))
        if file.is_symlink() or not file.is_file() or file_digest(file) != listed.get(name):
            what = f"{file} is not what an earlier `kdpipe shrink` wrote"
            raise KdpipeError(f"--output: {what}; move it away, or {REMEDY}")


def _listed(folder: Path) -> dict[str, str] | None:
    try:
        found = json.loads((folder / LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _files(folder: Path) -> Iterator[Path]:
    """Yield all but folders in the places that are written, links to folders too."""
    for top in (folder / name for name in WRITTEN):
        if top.is_symlink() or top.is_file():
            yield top
            continue
        for place, folders, files in os.walk(top):
            found = (Path(place, name) for name in (*folders, *files))
            yield from (path for path in found if path.is_symlink() or not path.is_dir())
