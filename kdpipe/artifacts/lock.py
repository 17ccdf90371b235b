"""One process at a time makes an artifact, also if an earlier one outlived the workflow that started it.

A lock goes with the process that holds it, however that ends. On a network file system it holds between
machines where that has locks.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

LOG = logging.getLogger(__name__)
_shared: list[TextIO] = []


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock; yields whether another process held it first, whose end was waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        waited = not _try(file.fileno())
        if waited:
            file.seek(0)
            LOG.warning("waiting for %s, which makes the same; stop it to take over", file.read().strip())
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        file.seek(0)
        file.truncate()
        print(f"process {os.getpid()} on {socket.gethostname()}", file=file, flush=True)
        yield waited


def share(path: Path) -> bool:
    """Hold a lock beside others until this process ends; returns whether nobody held it before.

    Where it may not be written nothing is known of others.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError:
        return False
    _shared.append(file)
    alone = _try(file.fileno())
    fcntl.flock(file.fileno(), fcntl.LOCK_SH)
    return alone


def is_free(path: Path) -> bool:
    """Tell whether nobody holds a lock."""
    if not path.exists():
        return True
    with path.open("a", encoding="utf-8") as file:
        return _try(file.fileno())


def _try(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
