"""Digests of files that are looked at whenever a workflow starts, however large they are.

A digest is kept in the user's cache as long as place, size and times of a file say that it is the same. The
time of its last change of any kind is among these, which no copying tool sets.
"""

import re
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from kdpipe.artifacts.sums import file_digest
from kdpipe.artifacts.whole import whole
from kdpipe.digest import digest

# A smaller file is read as fast as what is kept of it.
SMALL = 1_000_000
DIGEST = re.compile("[0-9a-f]{64}")
# Nanoseconds in which a file may change twice and have the same times, on the coarsest file systems.
COARSE = 2_000_000_000


def known_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes; those of a large file are read once."""
    stat = path.stat()
    if stat.st_size <= SMALL:
        return file_digest(path)
    times = stat.st_mtime_ns, stat.st_ctime_ns
    key = digest([str(path.resolve()), stat.st_dev, stat.st_ino, stat.st_size, *times])
    return _kept(path, key) if time.time_ns() - max(times) > COARSE else file_digest(path)


@cache
def _kept(path: Path, key: str) -> str:
    """Return the digest that is kept; where there is no home, or no room, it is worked out at each start."""
    with suppress(RuntimeError, OSError):
        kept = user_cache_path("kdpipe") / "digests" / key
        if kept.is_file() and DIGEST.fullmatch(found := kept.read_text(encoding="utf-8")):
            return found
    found = file_digest(path)
    with suppress(RuntimeError, OSError), whole(user_cache_path("kdpipe") / "digests" / key) as part:
        part.write_text(found, encoding="utf-8")
    return found
