"""One process at a time makes an artifact, also if an earlier one outlived the workflow that started it.

A lock goes with the process that holds it, however that ends. On a network file system it holds between
machines where that has locks; where there are none at all, nothing is known of others.
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
    """Hold a lock; yields whether another process held it first, whose end was waited for.

    Raises:
        KdpipeError: something else lies in its place.
    """
    if path.exists() and not path.is_file():
        # To remove it may remove the lock of another process that has done so before.
        raise KdpipeError(f"{path}: expected the file of a lock, found something else; delete it")
    with _open(path) as file:
        free = _try(file)
        if free is None:
            LOG.warning("%s: this file system has no locks; start no second workflow on it", path.parent)
        elif not free:
            file.seek(0)
            LOG.warning("waiting for %s, which makes the same; stop it to take over", file.read().strip())
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        _write(file, f"process {os.getpid()} on {socket.gethostname()}")
        yield free is False


def share(path: Path) -> bool:
    """Hold a lock beside others until this process ends; tells whether surely nobody held it before.

    It is not sure where the lock may not be written, or was last held on another machine: some file systems
    keep locks within each.
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
    here, last = socket.gethostname(), file.read().strip()
    alone = free and last in ("", here)
    if alone:
        _write(file, here)
    fcntl.flock(file.fileno(), fcntl.LOCK_SH)
    return alone


def is_free(path: Path) -> bool:
    """Tell whether it is known that nobody holds a lock."""
    if not path.exists():
        return True
    try:
        with _open(path) as file:
            return bool(_try(file))
    except OSError:
        return False


def _open(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of NFS a shared lock wants a file that can be read.
    return path.open("a+", encoding="utf-8", errors="replace")


def _try(file: TextIO) -> bool | None:
    """Take a lock if it is free; None where there are no locks."""
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
