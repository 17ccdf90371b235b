"""The folder of state, which is kdpipe's alone: what has not its form there is removed and made anew."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from kdpipe.artifacts.sums import SUMS
from kdpipe.config.paths import place_fault
from kdpipe.errors import KdpipeError

KINDS = ("checkpoints", "drafts", "finished", "locks", "written")


def open_state(state: Path) -> None:
    """Make the folder that state is kept in.

    Raises:
        KdpipeError: the folder is the working folder or above it; or a file lies in the place of the folder,
            or of a folder in it.
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
    if fault := place_fault(state):
        raise KdpipeError(f"--state: {fault}")
    try:
        state.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        raise KdpipeError(f"--state: {error.filename} cannot be made; give another folder") from None


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
