"""The list of digests names only files that are on the disk."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kdpipe.artifacts.sums import SUMS, verify, write_sums
from kdpipe.errors import KdpipeError


def test_files_are_on_the_disk_before_they_are_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may come at any moment."""
    stored = []
    original = os.fsync

    def fsync(number: int) -> None:
        assert not (tmp_path / SUMS).exists()
        stored.append(os.fstat(number).st_ino)
        original(number)

    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("weights", "step"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    write_sums(tmp_path)
    verify(tmp_path)
    assert sorted(stored) == sorted(path.stat().st_ino for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"weights\n", b"0" * 64 + b"  ../weights\n", b"0" * 64 + b"  /etc/hosts\n"]
)
def test_a_list_that_is_not_as_it_was_written(tmp_path: Path, text: bytes) -> None:
    """The list may not name files of another folder."""
    path = tmp_path / SUMS
    path.write_bytes(text)
    with pytest.raises(KdpipeError, match=f"{path} is not as it was written; delete {path} and run"):
        verify(tmp_path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_list_that_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / SUMS)
    with pytest.raises(KdpipeError, match=f"{tmp_path / SUMS} is not as it was written"):
        verify(tmp_path)
