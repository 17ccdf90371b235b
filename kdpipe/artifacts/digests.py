"""Digests of files that every start of a workflow checks, however large the files are.

The user's cache keeps the digest of a large file. The digest holds as long as the place, size and times of
the file are the same. One of these times is the inode's change time, which no copying tool can set.
"""

import re
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from kdpipe.artifacts.state import whole
from kdpipe.artifacts.sums import file_digest
from kdpipe.digest import digest

# A smaller file is read as fast as its cached digest.
SMALL_SIZE = 1_000_000
DIGEST = re.compile("[0-9a-f]{64}")
# On the coarsest file systems, two changes within this many nanoseconds leave the same times.
COARSE = 2_000_000_000


def known_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes; a large file is read once."""
    stat = path.stat()
    if stat.st_size <= SMALL_SIZE:
        return file_digest(path)
    times = stat.st_mtime_ns, stat.st_ctime_ns
    key = digest([str(path.resolve()), stat.st_dev, stat.st_ino, stat.st_size, *times])
    return _cached(path, key) if time.time_ns() - max(times) > COARSE else file_digest(path)


@cache
def _cached(path: Path, key: str) -> str:
    """Return the cached digest; without a home folder or room for it, each start reads the file again."""
    with suppress(RuntimeError, OSError):
        entry = user_cache_path("kdpipe") / "digests" / key
        if entry.is_file() and DIGEST.fullmatch(sha256 := entry.read_text(encoding="utf-8")):
            return sha256
    sha256 = file_digest(path)
    with suppress(RuntimeError, OSError), whole(user_cache_path("kdpipe") / "digests" / key) as part:
        part.write_text(sha256, encoding="utf-8")
    return sha256
