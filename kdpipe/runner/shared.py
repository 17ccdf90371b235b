"""A file that several results share: whoever needs the file first makes it, and the others wait and take it.

An entry is a folder called by a digest of all that its file depends on. The file is a hard link to the file
of an artifact, and files of other artifacts are links to it: nothing writes to such a file in place. Without
links, it is copied. The list of digests comes last, so that half a file is no entry. Nothing is removed here
but what is damaged.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdpipe.artifacts.state import link, whole
from kdpipe.artifacts.sums import MANIFEST, SUMS, damaged, file_digest, read_sums, write_sums
from kdpipe.errors import KdpipeError
from kdpipe.runner.lock import locked

LOG = logging.getLogger(__name__)
LOCKS = ".locks"


@contextmanager
def shared(entry: Path | None, file: Path, about: Mapping[str, Any]) -> Iterator[bool]:
    """Take a file from an entry, or yield True: then the caller makes the file, and the entry receives it.

    Others who need the entry wait until the caller has made it, or has ended.

    Args:
        entry: the folder of the entry; None where the caller makes the file for itself.
        file: the file of the caller's, which is not there yet.
        about: what the file depends on, for a manifest.
    """
    if entry is None:
        yield True
        return
    with locked(entry.parent / LOCKS / entry.name):
        taken = _take(entry, file)
        LOG.info("%s %s", file.name, f"is taken from {entry}" if taken else f"is made for {entry}")
        yield not taken
        if not taken:
            _give(entry, file, about)


def _take(entry: Path, file: Path) -> bool:
    """Tell whether the file is taken; a damaged entry is not, and is made again."""
    if not (entry / SUMS).exists():
        return False
    try:
        sha256 = read_sums(entry)[file.name]
        link(entry / file.name, file)
        # What is checked is what is used, whatever another process does to the entry.
        if file_digest(file) == sha256:
            return True
        raise KdpipeError(damaged(entry / file.name))
    except (KdpipeError, KeyError, OSError) as error:
        LOG.warning("%s is damaged and made again (%s)", entry, error)
        file.unlink(missing_ok=True)
        return False


def _give(entry: Path, file: Path, about: Mapping[str, Any]) -> None:
    """Put a file into an entry, in place of a damaged file and of what a killed process has left."""
    entry.mkdir(parents=True, exist_ok=True)
    for left in (entry / SUMS, entry / f".{SUMS}", *entry.glob("*.part")):
        left.unlink(missing_ok=True)
    with whole(entry / file.name) as part:
        link(file, part)
    with whole(entry / MANIFEST) as part:
        part.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    write_sums(entry)
