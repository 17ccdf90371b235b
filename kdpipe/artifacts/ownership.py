"""The files of an artifact's folder that kdpipe wrote; it never removes or overwrites any other file there.

Snakemake deletes a job's outputs before the job starts, and with them the list of digests. So a second list,
in the folder of state, has the names and digests of the files that kdpipe wrote.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import from_json

from kdpipe.artifacts.manifest import parse_manifest
from kdpipe.artifacts.state import check_around, discard, whole
from kdpipe.artifacts.sums import MANIFEST, NAME, SUMS, entries, file_digest, read_listing, read_sums
from kdpipe.config.paths import place_fault
from kdpipe.digest import digest
from kdpipe.errors import KdpipeError
from kdpipe.plan.layout import CARD, Layout

# A longer name would be too long together with the endings of the files of state.
LONGEST_PLACE = 180
# The entry of a manifest that says where its artifact lies below the results.
PLACE = "place"
# The facts of a file (its digest, often also its size and time), and the facts of a folder's files by name.
FileFacts = Mapping[str, Any]
Written = Mapping[str, Sequence[FileFacts]]


class _Facts(BaseModel):
    model_config = ConfigDict(strict=True)

    sha256: str
    size: int = 0
    mtime_ns: int = 0


_LIST = TypeAdapter(dict[Annotated[str, Field(pattern=rf"^{NAME}$")], list[_Facts]])


def place_of(output: Path, results: Path) -> str:
    """Return an artifact's path below the results, which may be moved; elsewhere its whole path."""
    place = os.path.relpath(output, results)
    return str(output) if place.startswith(os.pardir) else place


def state_name(output: Path, state: Path) -> str:
    """Return the name that an artifact's files have in the folder of state.

    The name is the artifact's path below the folder that holds the state, so that results may be moved.
    """
    # No name of a node holds a plus sign, so no two artifacts share a name.
    name = place_of(output, state.parent).replace(os.sep, "+")
    return name if len(name) <= LONGEST_PLACE else f"{name[:LONGEST_PLACE]}+{digest(name)}"


def check_place(output: Path) -> None:
    """Refuse the path of an artifact if it is a link, a file, the working folder or a folder above it."""
    if output.is_symlink():
        raise KdpipeError(f"{output} is a link, but an artifact needs a folder of its own; remove the link")
    check_around(output, "output", "the artifact")
    if fault := place_fault(output):
        raise KdpipeError(f"--output: {fault}")


def check_folder(output: Path, state: Path) -> None:
    """Refuse a folder for an artifact if it holds a file that kdpipe did not write."""
    check_place(output)
    foreign = next(foreign_paths(output, state), None)
    if foreign is not None:
        raise KdpipeError(
            f"{foreign} is not what kdpipe wrote there, and kdpipe overwrites only its own files; "
            "move the file away, or delete it, and start again"
        )


def foreign_paths(output: Path, state: Path) -> Iterator[Path]:
    """Yield the files of an artifact's folder that kdpipe did not write, or that were changed since.

    Hidden files, such as a network file system makes, do not count.
    """
    if not output.is_dir():
        return
    written = written_files(output, state)
    for name, path in entries(output, written):
        if path.name.startswith(".") or is_as_written(path, written.get(name, ())):
            continue
        # Another process may have put its files there since the list was read.
        if not is_as_written(path, written_files(output, state).get(name, ())):
            yield path


def foreign_in(output: Path, state: Path) -> str:
    """Return why a folder may not be removed; "" if kdpipe wrote all files in the folder."""
    written = written_files(output, state)
    try:
        foreign = next(foreign_paths(output, state), None)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if not written:
        return "not made by kdpipe"
    if foreign is None:
        return ""
    name = foreign.relative_to(output).as_posix()
    return f"{name} in it {'was changed since' if name in written else 'was not made by kdpipe'}"


def remove_folders(output: Path, names: Iterable[str]) -> None:
    """Remove the subfolders that held some files of an artifact, unless there are still files in them."""
    folders = {parent for name in names for parent in PurePosixPath(name).parents[:-1]}
    for folder in sorted(folders, reverse=True):
        if (output / folder).is_dir() and not any((output / folder).iterdir()):
            (output / folder).rmdir()


def real_path(path: Path) -> Path:
    """Return a path with its links resolved; links in a circle stay as they are."""
    return Path(os.path.realpath(path))


def lies_in(folder: Path, results: Path) -> bool:
    """Tell whether a folder lies below the results and no link leads to it; the results may be a link."""
    return real_path(folder) == real_path(results) / folder.relative_to(results)


def written_files(output: Path, state: Path) -> Written:
    """Return the files that kdpipe has written into an artifact's folder, by name.

    A name has the facts of two files while a new file replaces an old one. The files of an older artifact
    without a list are known by the artifact's own digests.
    """
    try:
        content: Written = from_json(read_listing(_list(output, state)))
        _LIST.validate_python(content)
        return content
    except (OSError, ValueError, KdpipeError):
        return _vouched_for(output, state)


def note_written(output: Path, state: Path, files: Written) -> None:
    """Write the list of the files that kdpipe has written into an artifact's folder."""
    place = _list(output, state)
    if not place.is_file():
        discard(place)
    with whole(place) as part:
        part.write_text(json.dumps(files, indent=1, sort_keys=True), encoding="utf-8")


def adopt(output: Path, state: Path) -> None:
    """Write the missing list of an artifact from its own digests, before Snakemake deletes the digests."""
    if not _list(output, state).exists() and (files := _vouched_for(output, state)):
        note_written(output, state, files)


def facts_of(path: Path, sha256: str | None = None) -> FileFacts:
    """Return the facts of a file; the digest is computed unless it is given."""
    stat = path.stat()
    return {"sha256": sha256 or file_digest(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _list(output: Path, state: Path) -> Path:
    return state / "written" / f"{state_name(output, state)}.json"


def _vouched_for(output: Path, state: Path) -> Written:
    if not _is_ours(output / MANIFEST, place_of(output, state.parent)):
        return {}
    try:
        sums = read_sums(output)
    except (KdpipeError, OSError, ValueError):
        return {}
    lists = {name: [facts_of(output / name)] for name in (MANIFEST, SUMS)}
    files = {name: [{"sha256": value}] for name, value in sums.items()}
    return {**files, **lists, **_card_of(output, state)}


def _card_of(output: Path, state: Path) -> Written:
    """Return the facts of the card that kdpipe has written for a model; {} without a card."""
    layout = Layout(state.parent)
    if output != layout.model(output.name):
        return {}
    facts = written_files(layout.cards, state).get(f"{output.name}.md")
    return {CARD: facts} if facts else {}


def _is_ours(manifest: Path, place: str) -> bool:
    """Tell whether kdpipe wrote a manifest at this place; the manifest of a copy names another place."""
    try:
        content = parse_manifest(read_listing(manifest))
    except (FileNotFoundError, KdpipeError, ValueError):
        return False
    return "kdpipe" in content["versions"] and content.get(PLACE, place) == place


def is_as_written(path: Path, files: Sequence[FileFacts]) -> bool:
    """Tell whether a file is one of the files with these facts."""
    if not files or path.is_symlink() or not path.is_file():
        return False
    try:
        stat = path.stat()
    except FileNotFoundError:
        # Another process is replacing the file.
        return True
    if any((stat.st_size, stat.st_mtime_ns) == (facts.get("size"), facts.get("mtime_ns")) for facts in files):
        return True
    sized = [facts["sha256"] for facts in files if facts.get("size", stat.st_size) == stat.st_size]
    return bool(sized) and file_digest(path) in sized
