"""Locks: one process at a time makes an artifact, even if an earlier process outlived its workflow.

The system releases a lock when its process ends, whatever ends the process. On a network file system that has
locks, a lock also holds between machines. A file system without locks tells nothing about other processes.
"""

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from kdpipe.errors import KdpipeError

LOG = logging.getLogger(__name__)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_shared: list[TextIO] = []


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock, and yield whether this process had to wait for another process to release the lock.

    Raises:
        KdpipeError: the path is there and is no file.
    """
    if path.exists() and not path.is_file():
        # kdpipe does not remove it, as another process may just have replaced it by a lock.
        raise KdpipeError(f"{path}: expected a lock file, found something else; delete it")
    with _open(path) as file:
        free = _try(file)
        if free is None:
            LOG.warning("%s: this file system has no locks; start no second workflow on it", path.parent)
        elif not free:
            file.seek(0)
            other = file.read().strip()
            LOG.warning(
                "waiting for %s, which makes the same artifact; stop that process to take over", other
            )
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        _write(file, f"process {os.getpid()} on {socket.gethostname()}")
        yield free is False


def share(path: Path) -> bool:
    """Share a lock until this process ends, and tell whether certainly no other process held it before.

    Nothing is certain where the lock may not be written, or was last held on another machine: on some file
    systems a lock holds only within its machine.
    """
    try:
        file = _open(path)
    except OSError:
        return False
    _shared.append(file)
    free = _try(file)
    if free is None:
        return False
    file.seek(0)
    host, last = socket.gethostname(), file.read().strip()
    alone = free and last in ("", host)
    if alone:
        _write(file, host)
    fcntl.flock(file.fileno(), fcntl.LOCK_SH)
    return alone


def is_free(path: Path) -> bool:
    """Tell whether certainly no process holds a lock."""
    if not path.exists():
        return True
    try:
        with _open(path) as file:
            return bool(_try(file))
    except OSError:
        return False


def _open(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    # On NFS a shared lock needs a file that is open for reading.
    return path.open("a+", encoding="utf-8", errors="replace")


def _try(file: TextIO) -> bool | None:
    """Take a lock if it is free, and tell whether it was; None on a file system without locks."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


def _write(file: TextIO, text: str) -> None:
    file.seek(0)
    file.truncate()
    print(text, file=file, flush=True)
