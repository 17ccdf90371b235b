"""Locks that go with the process that holds them."""

import subprocess
import sys
from pathlib import Path

from kdpipe.artifacts.lock import share

SHARE = """
import sys
from pathlib import Path
from kdpipe.artifacts.lock import share
print(share(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def sharing(path: Path) -> "subprocess.Popen[str]":
    """Start a process that shares a lock until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", SHARE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


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
