"""Logs of stages: a new log takes the place of an old log, and never of a file of the user's."""

import os
from pathlib import Path

from kdpipe.errors import KdpipeError

# The first line of a log, by which it is known.
MARK = "# log of a stage of kdpipe"


def check_log(path: Path) -> None:
    """Refuse a place for a log that something else lies in.

    Raises:
        KdpipeError: it does.
    """
    if os.path.lexists(path) and not _is_log(path):
        raise KdpipeError(f"{path} is no log of kdpipe's, and is not overwritten; move it away")


def _is_log(path: Path) -> bool:
    """Tell a log of an earlier run, which a full disk may have left empty, from a file of the user's."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        start = stream.readline(100)
    return not start or start.startswith(MARK.encode())
