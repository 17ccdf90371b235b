"""kdpipe neither overwrites nor removes a file that it did not write, whatever folder an artifact has."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdpipe.artifacts import ownership
from kdpipe.artifacts.artifact import publish
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.ownership import (
    LONGEST_PLACE,
    adopt,
    check_folder,
    foreign_paths,
    state_name,
    written_files,
)
from kdpipe.artifacts.sums import MANIFEST, SUMS, verify
from kdpipe.errors import EXIT_STATUS, KdpipeError


def write(output: Path, state: Path, **files: str) -> None:
    with publish(output, state, {"settings": {}}, Clock()) as draft:
        for name, text in files.items():
            (draft.folder / name).write_text(text, encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files of a folder but its state."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".state" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / ".state"


@pytest.fixture
def output(tmp_path: Path, state: Path) -> Path:
    """An artifact of two files."""
    write(tmp_path / "models/m", state, weights="old", history="old")
    return tmp_path / "models/m"


@pytest.mark.parametrize("place", ["report/main.tex", "report/chapters/1.tex", "report/manifest.json"])
def test_a_folder_with_files_of_the_user_s_is_refused(tmp_path: Path, state: Path, place: str) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(KdpipeError, match=r"report/\S+ is not what kdpipe wrote there"):
        write(tmp_path / "report", state, page="made")
    assert contents(tmp_path) == {place: b"mine"}


@pytest.mark.parametrize("name", ["notes.txt", "weights", MANIFEST, SUMS])
def test_a_file_that_the_user_added_or_edited_is_kept(output: Path, state: Path, name: str) -> None:
    (output / name).write_text("mine")
    with pytest.raises(KdpipeError, match=f"{output / name} is not what kdpipe wrote there"):
        write(output, state, weights="new")
    assert (output / name).read_text() == "mine"


def test_hidden_files_stay_and_keep_nothing_from_being_made(output: Path, state: Path) -> None:
    (output / ".nfs0001").write_text("of a file system")
    write(output, state, weights="new")
    assert (output / ".nfs0001").exists()


@pytest.mark.parametrize("gone", [(), (SUMS, MANIFEST), (SUMS, MANIFEST, "weights")])
def test_what_is_left_of_an_earlier_run_makes_way(output: Path, state: Path, gone: tuple[str, ...]) -> None:
    """Snakemake deletes the files that it knows of before a job."""
    for name in gone:
        (output / name).unlink()
    write(output, state, weights="new")
    verify(output)
    assert sorted(contents(output)) == [SUMS, MANIFEST, "weights"]


def test_files_that_were_copied_are_known_by_their_digests(output: Path, state: Path) -> None:
    for path in output.iterdir():
        os.utime(path, (0, 0))
    check_folder(output, state)


def test_a_run_that_was_killed_while_it_moved_its_files_leaves_none_that_is_strange(
    output: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, moved = Path.replace, []

    def break_off(self: Path, target: Path) -> Path:
        if Path(target).parent == output:
            moved.append(target)
            if len(moved) == 2:
                raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", break_off)
    with pytest.raises(KeyboardInterrupt):
        write(output, state, history="new", weights="new")
    monkeypatch.undo()
    assert list(foreign_paths(output, state)) == []
    write(output, state, weights="newest")
    verify(output)


def test_an_artifact_from_before_there_were_lists_is_known_by_its_digests(output: Path, state: Path) -> None:
    shutil.rmtree(state / "written")
    check_folder(output, state)
    adopt(output, state)
    (output / SUMS).unlink()
    check_folder(output, state)
    (output / "history").write_text("mine")
    assert list(foreign_paths(output, state)) == [output / "history"]


def test_a_copy_in_another_artifact_s_place_is_the_user_s(output: Path, state: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(output, tmp_path / "models/copy")
    assert list(foreign_paths(copy, state)) == sorted(copy.iterdir())
    with pytest.raises(KdpipeError, match="is not what kdpipe wrote there"):
        write(copy, state, weights="new")


def test_what_another_process_puts_there_meanwhile_is_not_strange(
    output: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written_files(output, state)
    write(output, state, weights="new", more="new")
    lists = iter([before])
    monkeypatch.setattr(ownership, "written_files", lambda *at: next(lists, None) or written_files(*at))
    assert list(foreign_paths(output, state)) == []
    assert next(lists, None) is None


FILE = '[{"sha256": "0"}]'


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "3", "\0", "[" * 100_000, '{"weights": 3}', '{"weights": [{}]}'),
        *('{"weights": [{"sha256": 3}]}', '{"weights": [{"sha256": "0", "size": "many"}]}'),
        *(f'{{"{name}": {FILE}}}' for name in ("", ".", "..", "../data/a", "/etc/hosts", r"a\u0000")),
    ],
)
def test_a_list_that_is_not_as_it_was_written_vouches_for_nothing(
    output: Path, state: Path, text: str
) -> None:
    """As long as the artifact has its own digests, these replace the list."""
    (place,) = (state / "written").iterdir()
    place.write_text(text)
    check_folder(output, state)
    assert written_files(output, state).keys() == {MANIFEST, SUMS, "history", "weights"}
    (output / SUMS).unlink()
    with pytest.raises(KdpipeError, match=f"{output / 'history'} is not what kdpipe wrote there"):
        check_folder(output, state)


@pytest.mark.parametrize("put", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/nowhere")])
def test_a_list_that_is_no_file_is_written_anew(
    output: Path, state: Path, put: Callable[[Path], None]
) -> None:
    (place,) = (state / "written").iterdir()
    place.unlink()
    put(place)
    write(output, state, weights="new")
    assert place.is_file()
    assert written_files(output, state).keys() == {MANIFEST, SUMS, "weights"}


def test_digests_of_another_program_vouch_for_nothing(tmp_path: Path, state: Path) -> None:
    folder = tmp_path / "data/glue"
    folder.mkdir(parents=True)
    (folder / "train.tsv").write_text("a\t1\n")
    digest = subprocess.run(["sha256sum", "train.tsv"], cwd=folder, capture_output=True, check=True).stdout
    (folder / SUMS).write_bytes(digest)
    (folder / MANIFEST).write_text('{"versions": ["1.0"]}')
    assert sorted(path.name for path in foreign_paths(folder, state)) == [SUMS, MANIFEST, "train.tsv"]


def test_a_link_as_the_folder_of_an_artifact_is_refused(tmp_path: Path, state: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/m").symlink_to(tmp_path / "mine")
    with pytest.raises(KdpipeError, match="models/m is a link, but an artifact needs a folder"):
        write(tmp_path / "models/m", state, weights="made")
    assert contents(tmp_path / "mine") == {"notes.txt": b"mine"}


def test_results_may_be_a_link(tmp_path: Path) -> None:
    """Users of clusters link their results to a larger disk."""
    (tmp_path / "scratch").mkdir()
    results = tmp_path / "results"
    results.symlink_to(tmp_path / "scratch")
    write(results / "models/m", results / ".state", weights="made")
    verify(tmp_path / "scratch/models/m")


def test_results_may_be_moved(output: Path, state: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    for folder in ("models", ".state"):
        (tmp_path / folder).rename(tmp_path / "moved" / folder)
    check_folder(tmp_path / "moved/models/m", tmp_path / "moved/.state")


@pytest.mark.parametrize("given", ["", ".", "..", "/", "here/.."])
def test_the_working_folder_and_those_above_it_are_no_artifact(
    task_data: Path, language_model: Path, tmp_path: Path, given: str
) -> None:
    working = tmp_path / "project"
    (working / "here").mkdir(parents=True)
    for file in (working / "notes.txt", tmp_path / "more.txt"):
        file.write_text("mine")
    command = [
        sys.executable,
        "-m",
        "kdpipe.stages.count_tokens",
        "--settings",
        "{}",
        "--data",
        str(task_data),
    ]
    command += ["--tokenizer", str(language_model), "--output", given]
    done = subprocess.run(command, cwd=working, capture_output=True, text=True)
    assert done.returncode == EXIT_STATUS
    assert "is the working folder or a folder above it" in done.stderr
    assert contents(tmp_path) == {"project/notes.txt": b"mine", "more.txt": b"mine"}


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("results/models/m", "models+m"),
        ("results/knowledge/t/d/0b7e", "knowledge+t+d+0b7e"),
        ("elsewhere/m", "elsewhere+m"),
    ],
)
def test_what_belongs_to_an_artifact_is_called_by_its_place(place: str, name: str) -> None:
    assert state_name(Path(place), Path("results/.state")) == name


def test_long_names_differ_and_fit() -> None:
    places = [Path("results/knowledge", "m" * 120 + end, "d" * 120, "0b7e") for end in "ab"]
    first, second = (state_name(place, Path("results/.state")) for place in places)
    assert first != second
    assert len(first) <= LONGEST_PLACE + 20
