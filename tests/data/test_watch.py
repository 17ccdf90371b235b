"""Files that change while they are read."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kdpipe.artifacts.sums import file_digest
from kdpipe.data.watch import Watch
from kdpipe.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name).write_text("one\ntwo\n")
    # The clock of a file system may tick a hundred times a second only.
    time.sleep(0.03)
    return tmp_path


def watched(folder: Path) -> Watch:
    return Watch(lambda: sorted(folder.iterdir()))


def alter(file: Path) -> None:
    """Change a file such that its size and the time of its change stay."""
    stat = file.stat()
    file.write_text("one\nTWO\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def and_back(file: Path) -> None:
    content = file.read_bytes()
    file.write_text("other")
    file.write_bytes(content)


def replace(file: Path) -> None:
    file.with_name("new").write_text("one\nTWO\n")
    file.with_name("new").replace(file)


EDITS: dict[str, Callable[[Path], object]] = {
    "append": lambda file: file.write_text("one\ntwo\nthree\n"),
    "alter": alter,
    "and back": and_back,
    "replace": replace,
    "remove": Path.unlink,
    "add": lambda file: file.write_text("new"),
}


def test_what_files_held_is_known_by_their_digests(folder: Path) -> None:
    with watched(folder) as files:
        files.check()
    assert files.digests == {str(folder / name): file_digest(folder / name) for name in "ab"}


@pytest.mark.parametrize("edit", EDITS)
def test_a_change_is_told(folder: Path, edit: str) -> None:
    file = folder / ("c" if edit == "add" else "b")
    message = f"^{file}: .* it was changed while it was read; run the stage again"
    with pytest.raises(DataError, match=message), watched(folder):
        EDITS[edit](file)


@pytest.mark.parametrize("edit", EDITS)
def test_a_change_is_told_before_the_end(folder: Path, edit: str) -> None:
    files = watched(folder)
    EDITS[edit](folder / ("c" if edit == "add" else "b"))
    with pytest.raises(DataError, match="changed while it was read"):
        files.check()


def test_what_a_reader_complains_of_in_a_file_that_is_written_is_the_change(folder: Path) -> None:
    def read(edited: bool) -> None:
        with watched(folder):
            if edited:
                (folder / "b").write_text("on")
            raise ValueError("half a row")

    with pytest.raises(ValueError, match="half a row"):
        read(edited=False)
    with pytest.raises(DataError, match=r"b: .* it was changed while it was read"):
        read(edited=True)
