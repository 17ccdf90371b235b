"""The folder of state, which is kdpipe's alone: what has not its form there is removed and made anew."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from kdpipe.artifacts.sums import SUMS
from kdpipe.errors import KdpipeError

KINDS = ("checkpoints", "drafts", "finished", "locks", "written")


def check_state(state: Path) -> None:
    """See that state can be kept in a folder.

    Raises:
        KdpipeError: it is the working folder or one above it; or something else lies in its place, or in
            that of a folder in it.
    """
    if is_around_here(state):
        raise KdpipeError(
            f"--state: {str(state)!r} is the working folder or one above it; "
            "expected a folder that holds nothing but state"
        )
    for folder in (state, *(state / kind for kind in KINDS)):
        if os.path.lexists(folder) and not folder.is_dir():
            raise KdpipeError(
                f"{folder}: expected a folder that kdpipe keeps, found something else; move it away"
            )


def is_around_here(folder: Path) -> bool:
    """Tell whether a folder is the working folder or one above it."""
    resolved, here = Path(os.path.realpath(folder)), Path.cwd()
    return resolved == here or resolved in here.parents


def discard(path: Path) -> None:
    """Remove a folder of state, or whatever lies in its place, as far as that goes.

    A folder loses its list of digests first: without it, what is half removed is not whole.
    """
    with suppress(OSError):
        (path / SUMS).unlink()
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder of state if it is not there."""
    if not path.is_dir():
        discard(path)
    path.mkdir(parents=True, exist_ok=True)
