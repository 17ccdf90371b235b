"""The digest of a large file stays in the cache as long as the file stays the same."""

import os
import time
from pathlib import Path

import pytest

from kdpipe.artifacts import digests
from kdpipe.artifacts.digests import known_digest
from kdpipe.artifacts.sums import file_digest


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large, and is old enough for the cache."""
    monkeypatch.setattr(digests, "SMALL_SIZE", 3)
    monkeypatch.setattr(digests, "COARSE", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "train.tsv"
    path.write_text("first")
    return path


def kept(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache").rglob("digests/*"))


def test_a_digest_is_kept(large: Path, tmp_path: Path) -> None:
    assert known_digest(large) == file_digest(large)
    (file,) = kept(tmp_path)
    digests._cached.cache_clear()
    file.write_text("0" * 64)
    assert known_digest(large) == "0" * 64


@pytest.mark.parametrize("text", ["", "0" * 63, "from elsewhere"])
def test_a_cache_that_holds_no_digest_is_not_believed(large: Path, tmp_path: Path, text: str) -> None:
    known_digest(large)
    (file,) = kept(tmp_path)
    digests._cached.cache_clear()
    file.write_text(text)
    assert known_digest(large) == file_digest(large) == file.read_text()


def test_an_edit_counts_though_size_and_time_are_set_back(large: Path) -> None:
    before, stat = known_digest(large), large.stat()
    time.sleep(0.01)
    large.write_text("other")
    os.utime(large, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert known_digest(large) == file_digest(large) != before


def test_what_was_written_just_now_is_not_kept(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "COARSE", 10**12)
    known_digest(large)
    assert kept(tmp_path) == []


def test_where_nothing_can_be_kept_a_digest_is_worked_out(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert known_digest(large) == file_digest(large)
    # Within one start the digest is computed once, however many jobs read the file.
    monkeypatch.setattr(digests, "file_digest", lambda path: "worked out again")
    assert known_digest(large) == file_digest(large)
