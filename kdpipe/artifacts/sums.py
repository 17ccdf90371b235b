"""SHA256SUMS: the digests of an artifact's files, written last, the one file that later stages depend on."""

import hashlib
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path

from kdpipe.artifacts.faults import tell_fault
from kdpipe.errors import KdpipeError

SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
# More bytes than any list of an artifact's files, or manifest, has.
MOST = 100_000_000
_LINE = re.compile(r"([0-9a-f]{64})  ([^/]+)")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_sums(folder: Path) -> None:
    """Write the digests of all files of a folder but the manifest, as `sha256sum -c` reads them."""
    names = sorted(path.name for path in folder.iterdir() if path.name not in (SUMS, MANIFEST))
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in names]
    # Written aside first: a list that breaks off would vouch for less than there is.
    written = folder / f".{SUMS}"
    written.write_text("".join(lines), encoding="utf-8")
    # A machine that goes off may lose what only waits for its disk; what is older goes by this list.
    for path in (*(folder / name for name in names), folder / MANIFEST, written):
        if path.exists():
            _store(path)
    written.replace(folder / SUMS)


def _store(path: Path) -> None:
    """Wait until a file is on its disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def read_sums(folder: Path) -> dict[str, str]:
    """Return the digests that an artifact promises, by file name.

    Raises:
        KdpipeError: the folder is no finished artifact.
    """
    try:
        lines = read_listing(folder / SUMS).decode().splitlines()
    except FileNotFoundError:
        raise KdpipeError(
            f"{folder} is no finished artifact: it has no {SUMS}; run the stage that makes it"
        ) from None
    except UnicodeDecodeError:
        raise KdpipeError(damaged(folder / SUMS)) from None
    found = [_LINE.fullmatch(line) for line in lines]
    if not lines or not all(found):
        raise KdpipeError(damaged(folder / SUMS))
    return {match[2]: match[1] for match in found if match}


def read_listing(path: Path) -> bytes:
    """Return the bytes of what is written about an artifact beside its files.

    Raises:
        FileNotFoundError: it is not there.
        KdpipeError: it is no file, too large, or may not be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST:
            raise KdpipeError(damaged(path))
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KdpipeError(tell_fault(error, path) or f"{path} cannot be read: {error.strerror}") from None


def verify(folder: Path, but: Collection[str] = ()) -> str:
    """Check every file of an artifact against its digest, and return the digest of the artifact.

    Args:
        folder: the artifact's folder.
        but: names of files that are only looked for.

    Raises:
        KdpipeError: a file is missing, truncated, altered, or not of the artifact.
    """
    sums = read_sums(folder)
    for name, digest in sums.items():
        path = folder / name
        if not path.is_file():
            raise KdpipeError(f"{path} is missing; run its stage again")
        if name not in but and file_digest(path) != digest:
            raise KdpipeError(
                f"{path} is not what its stage wrote: {SUMS} beside it has another SHA-256; {remedy(path)}"
            )
    for path in sorted(folder.iterdir()):
        if path.name not in (*sums, SUMS, MANIFEST) and not path.name.startswith("."):
            raise KdpipeError(
                f"{path} is not in {folder / SUMS}: move it away if it is yours, else {remedy(path)}"
            )
    return file_digest(folder / SUMS)


def damaged(path: Path) -> str:
    """Return what to say of a file about an artifact that is not as it was written."""
    return f"{path} is not as it was written; {remedy(path)}"


def remedy(path: Path) -> str:
    """Return what to do about a file of an artifact that is not as it was written."""
    return f"delete {path} and run its stage again"
