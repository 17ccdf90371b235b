"""SHA256SUMS: the digests of an artifact's files, written last, the one file that later stages depend on."""

import hashlib
from pathlib import Path

from kdpipe.errors import KdpipeError

SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"


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
    written.replace(folder / SUMS)


def read_sums(folder: Path) -> dict[str, str]:
    """Return the digests that an artifact promises, by file name.

    Raises:
        KdpipeError: the folder is no finished artifact.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise KdpipeError(
            f"{folder} is no finished artifact: it has no {SUMS}; run the stage that makes it"
        ) from None
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def verify(folder: Path) -> str:
    """Check every file of an artifact against its digest, and return the digest of the artifact.

    Raises:
        KdpipeError: a file is missing, truncated or altered.
    """
    for name, digest in read_sums(folder).items():
        path = folder / name
        if not path.is_file():
            raise KdpipeError(f"{path} is missing; delete {folder / SUMS} and run its stage again")
        if file_digest(path) != digest:
            raise KdpipeError(
                f"{path} is not what its stage wrote (its SHA-256 differs from {folder / SUMS}); "
                f"delete {folder / SUMS} and run its stage again"
            )
    return file_digest(folder / SUMS)
