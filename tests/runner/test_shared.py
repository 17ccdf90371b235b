"""A file of several results is made once, whoever else asks for it or is killed meanwhile."""

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kdpipe.artifacts import state
from kdpipe.artifacts.sums import MANIFEST, SUMS, verify
from kdpipe.runner import shared as module
from kdpipe.runner.lock import is_free
from kdpipe.runner.shared import LOCKS, shared

ABOUT = {"signals": ["logits"]}
PROCESSES = multiprocessing.get_context("fork")


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    return tmp_path / "shared" / "2d9a"


def ask(entry: Path, file: Path, text: str = "signals") -> bool:
    """Take a file from an entry, or make it, and tell whether it was made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with shared(entry, file, ABOUT) as needed:
        if needed:
            assert not file.exists()
            file.write_text(text)
    return needed


def refuse_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the caller's folder and the entry be on two file systems."""

    def link(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", link)


def test_the_first_makes_it_and_the_others_have_the_same_file(entry: Path, tmp_path: Path) -> None:
    files = [tmp_path / name / "signals" for name in ("a", "b", "c")]
    assert [ask(entry, file, file.parent.name) for file in files] == [True, False, False]
    assert [file.read_text() for file in files] == ["a", "a", "a"]
    assert len({file.stat().st_ino for file in (*files, entry / "signals")}) == 1
    verify(entry)
    assert sorted(path.name for path in entry.iterdir()) == [SUMS, MANIFEST, "signals"]


def test_on_another_file_system_it_is_copied(
    entry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_links(monkeypatch)
    files = [tmp_path / name / "signals" for name in ("a", "b")]
    assert [ask(entry, file, file.parent.name) for file in files] == [True, False]
    assert [file.read_text() for file in files] == ["a", "a"]
    assert len({file.stat().st_ino for file in (*files, entry / "signals")}) == 3


def damage_file(entry: Path) -> None:
    (entry / "signals").write_text("other")


def shorten_list(entry: Path) -> None:
    (entry / SUMS).write_text((entry / SUMS).read_text()[:30])


def lose_file(entry: Path) -> None:
    (entry / "signals").unlink()


def lose_list(entry: Path) -> None:
    (entry / SUMS).unlink()


def leave_parts(entry: Path) -> None:
    """Be killed while copying a file and while writing the list."""
    lose_list(entry)
    for name in ("signals.123.part", f".{SUMS}"):
        (entry / name).write_text("half")


@pytest.mark.parametrize("harm", [damage_file, shorten_list, lose_file, lose_list, leave_parts])
@pytest.mark.parametrize("linked", [True, False])
def test_a_damaged_entry_is_never_used_and_made_again(
    linked: bool,
    harm: Callable[[Path], None],
    entry: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not linked:
        refuse_links(monkeypatch)
    ask(entry, tmp_path / "a" / "signals")
    harm(entry)
    assert ask(entry, tmp_path / "b" / "signals", "new")
    assert not ask(entry, tmp_path / "c" / "signals")
    assert (tmp_path / "c" / "signals").read_text() == "new"
    verify(entry)
    assert sorted(path.name for path in entry.iterdir()) == [SUMS, MANIFEST, "signals"]


def test_who_fails_gives_nothing(entry: Path, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), shared(entry, tmp_path / "signals", ABOUT):
        tmp_path.write_text("half")
    assert not entry.exists()
    assert ask(entry, tmp_path / "b" / "signals")


def be_slow(entry: Path, file: Path) -> None:
    """Begin to make a file, tell so, and go on for long."""
    file.parent.mkdir(parents=True)
    with shared(entry, file, ABOUT):
        file.write_text("half")
        time.sleep(60)


def test_a_killed_process_blocks_and_fools_nobody(entry: Path, tmp_path: Path) -> None:
    first = PROCESSES.Process(target=be_slow, args=(entry, tmp_path / "a" / "signals"))
    first.start()
    while not (tmp_path / "a" / "signals").exists():
        time.sleep(0.01)
    assert not is_free(entry.parent / LOCKS / entry.name)
    waiting = PROCESSES.Process(target=ask, args=(entry, tmp_path / "b" / "signals", "whole"))
    waiting.start()
    time.sleep(0.2)
    assert waiting.is_alive()
    assert first.pid
    os.kill(first.pid, signal.SIGKILL)
    waiting.join(10)
    first.join()
    assert (waiting.exitcode, (tmp_path / "b" / "signals").read_text()) == (0, "whole")
    assert not ask(entry, tmp_path / "c" / "signals")


def count(entry: Path, file: Path, made: Path) -> None:
    """Ask for a file, and note that this process made it."""
    file.parent.mkdir(parents=True)
    with shared(entry, file, ABOUT) as needed:
        if needed:
            time.sleep(0.2)
            file.write_text("signals")
            (made / file.parent.name).touch()


def test_of_processes_that_ask_at_once_one_makes_it(entry: Path, tmp_path: Path) -> None:
    (made := tmp_path / "made").mkdir()
    files = [tmp_path / str(number) / "signals" for number in range(4)]
    processes = [PROCESSES.Process(target=count, args=(entry, file, made)) for file in files]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len([*made.iterdir()]) == 1
    assert len({file.stat().st_ino for file in files}) == 1


def test_what_changes_while_it_is_taken_is_not_used(
    entry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without locks another process may replace an entry at any moment."""
    ask(entry, tmp_path / "a" / "signals")
    original = state.link

    def link(source: Path, target: Path) -> None:
        if source.parent == entry:
            source.unlink()
            source.write_text("another's")
        original(source, target)

    monkeypatch.setattr(module, "link", link)
    assert ask(entry, tmp_path / "b" / "signals", "mine")
    assert (tmp_path / "b" / "signals").read_text() == "mine"
