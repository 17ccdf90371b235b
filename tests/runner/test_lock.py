"""A lock ends with the process that holds it."""

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdpipe.errors import KdpipeError
from kdpipe.runner import lock
from kdpipe.runner.lock import is_free, locked, share

SHARE = """
import sys
from pathlib import Path
from kdpipe.runner.lock import share
print(share(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def sharing(path: Path) -> "subprocess.Popen[str]":
    """Start a process that shares a lock until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", SHARE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    """Release the locks that a test shares, as the end of its process would."""
    yield
    while lock._shared:
        lock._shared.pop().close()


def first_word(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_shared_lock_tells_the_first_from_those_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "lock"
    with sharing(path) as one:
        assert first_word(one) == "True"
        with sharing(path) as other:
            assert first_word(other) == "False"
            other.communicate()
        one.kill()
    with sharing(path) as next_one:
        assert first_word(next_one) == "True"
        next_one.communicate()


def test_where_it_may_not_be_written_others_are_not_known_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not share(tmp_path / "file" / "lock")


def test_a_shared_lock_is_of_a_file_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS turns locks of whole files into locks of their parts, which need a readable file."""
    real = fcntl.flock

    def flock(number: int, how: int) -> None:
        mode = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
        if mode == (os.O_WRONLY if how & fcntl.LOCK_SH else os.O_RDONLY):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real(number, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert share(tmp_path / "shared")
    with locked(tmp_path / "own") as waited:
        assert not waited


def test_where_there_are_no_locks_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(number: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    assert not share(tmp_path / "shared")
    with locked(tmp_path / "own") as waited:
        assert not waited
    assert "has no locks" in caplog.text
    assert not is_free(tmp_path / "own")


def test_a_lock_that_was_held_on_another_machine_may_still_be(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("elsewhere\n")
    assert not share(tmp_path / "lock")


@pytest.mark.parametrize("place", [Path.mkdir, os.mkfifo])
def test_something_that_is_no_lock(tmp_path: Path, place: Callable[[Path], None]) -> None:
    path = tmp_path / "lock"
    place(path)
    with pytest.raises(KdpipeError, match=f"{path}: expected a lock file, found something else"):
        locked(path).__enter__()
    assert not share(path)
    assert not is_free(path)


def test_a_lock_in_which_anything_is_written(tmp_path: Path) -> None:
    for name in ("shared", "own"):
        (tmp_path / name).write_bytes(b"\xff\n")
    assert not share(tmp_path / "shared")
    with locked(tmp_path / "own") as waited:
        assert not waited
