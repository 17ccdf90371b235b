"""The folder of state, which only kdpipe uses: a damaged file or folder in it is removed and made anew.

A whole file appears at once, so that a killed process leaves no half of it.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kdpipe.artifacts.sums import SUMS
from kdpipe.config.paths import place_fault
from kdpipe.errors import KdpipeError

FOLDERS = ("checkpoints", "drafts", "finished", "locks", "written")


def open_state(state: Path) -> None:
    """Make the folder of state; refuse the working folder, and a file in the place of a folder."""
    check_around(state, "state", "state")
    for folder in (state, *(state / kind for kind in FOLDERS)):
        if os.path.lexists(folder) and not folder.is_dir():
            raise KdpipeError(
                f"{folder}: expected a folder of kdpipe's, found a file or a broken link; move it away"
            )
    if fault := place_fault(state):
        raise KdpipeError(f"--state: {fault}")
    try:
        state.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:
        raise KdpipeError(f"--state: {error.filename} cannot be made; give another folder") from None


def check_around(folder: Path, option: str, content: str) -> None:
    """Refuse the working folder and the folders above it for an option of the command line."""
    working = Path.cwd()
    if Path(os.path.realpath(folder)) in (working, *working.parents):
        raise KdpipeError(
            f"--{option}: {str(folder)!r} is the working folder or a folder above it; "
            f"expected a folder that holds nothing but {content}"
        )


def discard(path: Path) -> None:
    """Remove a folder of state, or whatever lies in its place, as far as the system allows.

    The list of digests goes first: without its list, a folder that is half removed does not count as whole.
    """
    with suppress(OSError):
        (path / SUMS).unlink()
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder of state if it is missing."""
    if not path.is_dir():
        discard(path)
    path.mkdir(parents=True, exist_ok=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a whole file: yield a path beside it, and move that file to `path` if the block raises no error.

    If the block fails, the part is removed, as a full disk needs its room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Make a hard link; a copy where the file system has no links, or another one holds the target."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
