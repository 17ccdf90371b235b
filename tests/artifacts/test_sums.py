"""The list of digests vouches for what is on the disk."""

import os
from pathlib import Path

import pytest

from kdpipe.artifacts.sums import SUMS, verify, write_sums


def test_files_are_on_the_disk_before_they_are_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine may go off at any moment."""
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
