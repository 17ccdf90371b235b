"""Logs of stages: a new log replaces an old log, and never a file of the user's."""

import os
from pathlib import Path

from kdpipe.errors import KdpipeError

# The first line of every log.
MARK = "# log of a stage of kdpipe"


def check_log(path: Path) -> None:
    """Refuse a path for a log if something else lies there.

    Raises:
        KdpipeError: the path is there and is no log.
    """
    if os.path.lexists(path) and not _is_log(path):
        raise KdpipeError(f"{path} is no log of kdpipe's, and kdpipe does not overwrite it; move it away")


def _is_log(path: Path) -> bool:
    """Tell whether a path is a log of an earlier run; on a full disk such a log may have stayed empty."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        start = stream.readline(100)
    return not start or start.startswith(MARK.encode())
