"""Artifacts with files in subfolders, as models with several heads are."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kdpipe.artifacts.artifact import finished, publish, restore
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.ownership import foreign_in
from kdpipe.artifacts.sums import SUMS, read_sums, verify
from kdpipe.errors import KdpipeError


def write(output: Path, *names: str) -> None:
    with publish(output, output.parent / ".state", {"settings": {}, "inputs": {"m": "1"}}, Clock()) as draft:
        for name in names:
            (draft.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (draft.folder / name).write_text(name)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    write(tmp_path / "a", "body.txt", "heads/x/head.txt", "heads/y/head.txt")
    return tmp_path / "a"


def test_their_digests_are_in_the_list(output: Path) -> None:
    assert [*read_sums(output)] == ["body.txt", "heads/x/head.txt", "heads/y/head.txt"]
    checked = subprocess.run(["sha256sum", "-c", SUMS], cwd=output, capture_output=True, text=True)
    assert checked.stdout.count(": OK\n") == 3
    verify(output)
    (output / "heads" / "y" / "head.txt").write_text("changed")
    with pytest.raises(KdpipeError, match=r"heads/y/head\.txt is not what its stage wrote"):
        verify(output)


def test_a_new_version_leaves_no_folder_of_the_old(output: Path) -> None:
    write(output, "body.txt", "heads/x/head.txt", "heads/z/head.txt")
    assert sorted(path.name for path in (output / "heads").iterdir()) == ["x", "z"]
    write(output, "body.txt")
    assert not (output / "heads").exists()
    verify(output)


def test_a_run_that_was_killed_while_it_removed_a_folder_leaves_none(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kdpipe.artifacts.artifact.remove_folders", die)
        with pytest.raises(KeyboardInterrupt):
            write(output, "body.txt", "heads/x/head.txt")
    assert (output / "heads" / "y").is_dir()
    write(output, "body.txt", "heads/x/head.txt")
    assert not (output / "heads" / "y").exists()
    verify(output)


def test_a_finished_one_is_put_back(output: Path) -> None:
    state = output.parent / ".state"
    (output / SUMS).unlink()
    (output / "heads" / "x" / "head.txt").unlink()
    assert finished(output, state).is_dir()
    restore(output, state)
    verify(output)


def add(place: str) -> Callable[[Path, Path], str]:
    def put(output: Path, elsewhere: Path) -> str:
        (output / place).parent.mkdir(exist_ok=True)
        (output / place).write_text("mine")
        return place

    return put


def link(output: Path, elsewhere: Path) -> str:
    """Put the folder of a head elsewhere, where a file of it would be overwritten."""
    (output / "heads" / "x").rename(elsewhere)
    (output / "heads" / "x").symlink_to(elsewhere)
    return "heads/x"


@pytest.mark.parametrize(
    "change", [add("heads/x/notes.txt"), add("heads/notes.txt"), add("mine/a.txt"), link]
)
def test_what_is_not_ours_is_never_overwritten(
    output: Path, tmp_path: Path, change: Callable[[Path, Path], str]
) -> None:
    strange = change(output, tmp_path / "elsewhere")
    name = "mine" if strange.startswith("mine") else strange
    assert foreign_in(output, output.parent / ".state") == f"{name} in it was not made by kdpipe"
    with pytest.raises(KdpipeError, match=f"{name} is not what kdpipe wrote there"):
        write(output, "body.txt")
    with pytest.raises(KdpipeError, match=f"{name} is not in "):
        verify(output)
    assert (output / strange).exists()


@pytest.mark.parametrize("name", ["../up.txt", "heads/../../up.txt", "/root.txt", "heads//x.txt", "./x.txt"])
def test_no_name_in_a_list_leads_out(output: Path, name: str) -> None:
    (output / SUMS).write_text(f"{'0' * 64}  {name}\n")
    with pytest.raises(KdpipeError, match="is not as it was written"):
        read_sums(output)
