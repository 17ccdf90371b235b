"""SHA256SUMS: the digests of an artifact's files. It is written last, and later stages depend on it alone."""

import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from kdpipe.artifacts.faults import tell_fault
from kdpipe.errors import KdpipeError
from kdpipe.plan.layout import CARD

SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"
# No list of digests and no manifest has more bytes.
MOST = 100_000_000
# The name of a file is its path below the folder of the artifact; no part of it leads out of there.
PART = r"(?:\.{3,}|\.{0,2}[^./\x00])[^/\x00]*"
NAME = rf"(?:{PART}/)*{PART}"
_LINE = re.compile(rf"([0-9a-f]{{64}})  ({NAME})")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_sums(folder: Path) -> None:
    """Write the digests of all files of a folder but its manifest, in the form of `sha256sum -c`."""
    names = sorted(name for name in files_below(folder) if name not in (SUMS, MANIFEST))
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in names]
    # A list that breaks off would miss files, so it gets its name when it is whole.
    part = folder / f".{SUMS}"
    part.write_text("".join(lines), encoding="utf-8")
    # A power cut loses files that still wait for the disk. Once this list is there, older files are removed.
    for path in (*(folder / name for name in names), folder / MANIFEST, part):
        if path.exists():
            sync(path)
    part.replace(folder / SUMS)


def files_below(folder: Path) -> list[str]:
    """Return the names of all files of a folder and its subfolders."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def entries(folder: Path, known: Collection[str]) -> Iterator[tuple[str, Path]]:
    """Yield (name, path) of what a folder holds, in order.

    A subfolder with a known file is opened. Any other subfolder is an entry itself, as a link is.
    """
    opened = {parent.as_posix() for name in known for parent in PurePosixPath(name).parents}
    for path in sorted(folder.iterdir()):
        name = path.name
        if name in opened and path.is_dir() and not path.is_symlink():
            inside = [file.removeprefix(f"{name}/") for file in known if file.startswith(f"{name}/")]
            yield from ((f"{name}/{below}", inner) for below, inner in entries(path, inside))
        else:
            yield name, path


def sync(path: Path) -> None:
    """Wait until the disk has a file."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def read_sums(folder: Path) -> dict[str, str]:
    """Return the digests of a finished artifact's files, by name, from its list."""
    try:
        lines = read_listing(folder / SUMS).decode().splitlines()
    except FileNotFoundError:
        raise KdpipeError(
            f"{folder} is no finished artifact: it has no {SUMS}; run the stage that makes the artifact"
        ) from None
    except UnicodeDecodeError:
        raise KdpipeError(damaged(folder / SUMS)) from None
    entries = [_LINE.fullmatch(line) for line in lines]
    if not lines or not all(entries):
        raise KdpipeError(damaged(folder / SUMS))
    return {entry[2]: entry[1] for entry in entries if entry}


def read_listing(path: Path) -> bytes:
    """Return the bytes of an artifact's manifest or list of digests.

    Raises:
        FileNotFoundError: the file is missing.
        KdpipeError: the path is no file, or the file is too large or may not be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST:
            raise KdpipeError(damaged(path))
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KdpipeError(tell_fault(error, path) or f"{path} cannot be read: {error.strerror}") from None


def verify(folder: Path, but: Collection[str] = (), whole: bool = True) -> str:
    """Check every file of an artifact against its digest, and return the digest of the artifact.

    Its manifest and a card have no digest.

    Args:
        folder: the artifact's folder.
        but: names of files that have to be there, but are not read.
        whole: whether all files of the list have to be there.

    Raises:
        KdpipeError: a file is missing, truncated, changed, or not in the list.
    """
    sums = read_sums(folder)
    if whole:
        require(folder, *sums)
    for name, digest in sums.items():
        path = folder / name
        if name not in but and path.exists() and file_digest(path) != digest:
            raise KdpipeError(
                f"{path} is not what its stage wrote: {SUMS} beside it has another SHA-256; {remedy(path)}"
            )
    for name, path in entries(folder, sums):
        if name not in (*sums, SUMS, MANIFEST, CARD) and not path.name.startswith("."):
            raise KdpipeError(
                f"{path} is not in {folder / SUMS}: move it away if it is yours, else {remedy(path)}"
            )
    return file_digest(folder / SUMS)


def require(folder: Path, *names: str) -> None:
    """Raise KdpipeError if a file of an artifact is missing."""
    for name in names:
        if not (folder / name).is_file():
            raise KdpipeError(f"{folder / name} is missing; run its stage again")


def damaged(path: Path) -> str:
    """Return the message about a manifest or a list of digests that was changed."""
    return f"{path} is not as it was written; {remedy(path)}"


def remedy(path: Path) -> str:
    """Return what to do about a file of an artifact that was changed."""
    return f"delete {path} and run its stage again"
