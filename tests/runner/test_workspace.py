"""The command line of stages, tested on `select` and `count_tokens`, which start fast."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kdpipe.artifacts.artifact import finished, read_manifest
from kdpipe.artifacts.ownership import state_name
from kdpipe.artifacts.sums import MANIFEST, SUMS, file_digest, verify
from kdpipe.errors import EXIT_STATUS, KdpipeError
from kdpipe.plan.identity import code_of, identity
from kdpipe.runner.logs import MARK
from kdpipe.runner.workspace import Workspace
from tests.forked import be_stage

# Processes are forked off a server that has imported the stage, which takes most of the time of a short one.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["kdpipe.stages.count_tokens"])


def run_stage(stage: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run a stage in a process of its own; returns its status and what it says."""
    with TemporaryDirectory() as folder:
        console = Path(folder, "console")
        words = [*map(str, arguments)]
        process = SERVER.Process(target=be_stage, args=(stage, words, console, Path.cwd()))
        process.start()
        process.join()
        return subprocess.CompletedProcess(words, process.exitcode or 0, "", console.read_text())


def count(task_data: Path, language_model: Path, output: Path, settings: str = "{}", *more: object):
    places = ("--data", task_data, "--tokenizer", language_model, "--output", output)
    return run_stage("count_tokens", "--settings", settings, *places, *more)


def test_a_stage_runs_by_hand(task_data: Path, language_model: Path, tmp_path: Path) -> None:
    places = ("--data", task_data, "--tokenizer", language_model, "--output", tmp_path / "counts")
    command = [sys.executable, "-m", "kdpipe.stages.count_tokens", "--settings", "{}", *map(str, places)]
    done = subprocess.run([*command, "--log", tmp_path / "log"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    verify(tmp_path / "counts")


def test_a_mistake_is_one_line_and_exit_status_2(
    task_data: Path, language_model: Path, tmp_path: Path
) -> None:
    done = count(task_data, language_model, tmp_path / "counts", json.dumps({"splitt": "train"}))
    assert done.returncode == EXIT_STATUS
    assert done.stderr == "count_tokens counts: splitt: unknown key; did you mean 'split'?\n"


def test_what_is_wrong_stands_in_the_log_and_on_the_terminal(
    task_data: Path, language_model: Path, tmp_path: Path
) -> None:
    done = count(task_data, language_model, tmp_path / "counts", "[", "--log", tmp_path / "log")
    assert done.returncode == EXIT_STATUS
    assert done.stderr.startswith("count_tokens counts: --settings: expected JSON")
    assert (tmp_path / "log").read_text() == f"{MARK}\n{done.stderr}"


def identity_of(path: Path) -> tuple[int, ...]:
    found = path.lstat()
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("put", [Path.mkdir, os.mkfifo, lambda path: path.write_text("mine\n")])
def test_a_file_of_the_user_s_in_the_place_of_a_log_is_kept(
    task_data: Path, language_model: Path, tmp_path: Path, put: Callable[[Path], None]
) -> None:
    put(tmp_path / "log")
    before = identity_of(tmp_path / "log")
    done = count(task_data, language_model, tmp_path / "counts", "{}", "--log", tmp_path / "log")
    assert (done.returncode, identity_of(tmp_path / "log")) == (EXIT_STATUS, before)
    assert done.stderr == (
        f"--log: {tmp_path / 'log'} is no log of kdpipe's, and kdpipe does not overwrite it; move it away\n"
    )


def test_a_log_of_an_earlier_run_makes_way(task_data: Path, language_model: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = count(task_data, language_model, tmp_path / "counts", "[", "--log", tmp_path / "log")
        assert (tmp_path / "log").read_text() == f"{MARK}\n{done.stderr}"


@pytest.mark.parametrize("option", ["output", "state", "log"])
@pytest.mark.parametrize("place", ["file/x", "/proc/nowhere/x"])
def test_a_place_where_nothing_can_be_written(
    task_data: Path, language_model: Path, tmp_path: Path, option: str, place: str
) -> None:
    (tmp_path / "file").touch()
    places = {"output": tmp_path / "counts", option: tmp_path / place}
    arguments = [word for name, path in places.items() for word in (f"--{name}", path)]
    data = ("--data", task_data, "--tokenizer", language_model)
    done = run_stage("count_tokens", "--settings", "{}", *data, *arguments)
    assert done.returncode == EXIT_STATUS, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "file" if place.startswith("file") else "/proc/nowhere") in done.stderr


def test_the_working_folder_keeps_no_state(
    task_data: Path, language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = count(task_data, language_model, tmp_path / "counts", "{}", "--state", ".")
    assert done.returncode == EXIT_STATUS
    assert "--state: '.' is the working folder or a folder above it" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bug_has_its_traceback_in_the_log_only(
    task_data: Path, language_model: Path, tmp_path: Path
) -> None:
    settings = json.dumps({"split": "nosuch"})
    done = count(task_data, language_model, tmp_path / "counts", settings, "--log", tmp_path / "log")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(("options", "message"), [
    (["--threads", "0"], "argument --threads: expected 1 to 1024 threads, found 0"),
    (["--threads", "1000000000000"], "argument --threads: expected 1 to 1024 threads, found 1000000000000"),
    (["--minutes", "nan"], "argument --minutes: expected minutes, found nan"),
    (["--checkpoint-minutes", "-1"], "argument --checkpoint-minutes: expected minutes, found -1"),
    (["--code", "kdpipe.nothing"], "--code: expected modules of kdpipe, found ['kdpipe.nothing']"),
    (["--settings", "[" * 100_000], "--settings: expected JSON, found '[[["),
    (["--settings", "9" * 5000], "--settings: expected JSON, found '999"),
    (["--output", "x" * 300], "cannot exist"),
    (["--output", "circle/counts"], "circle is a link that leads to no folder"),
])  # fmt: skip
def test_options_that_cannot_be_are_refused(
    task_data: Path,
    language_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("circle").symlink_to("circle")
    done = count(task_data, language_model, Path("counts"), "{}", *options)
    assert (done.returncode, message in done.stderr, "Traceback" in done.stderr) == (EXIT_STATUS, True, False)
    assert len(done.stderr.splitlines()[-1]) < 600


def test_inputs_are_checked_against_their_digests(
    task_data: Path, language_model: Path, tmp_path: Path
) -> None:
    assert count(task_data, language_model, tmp_path / "first").returncode == 0
    sums = tmp_path / "first" / "SHA256SUMS"
    (tmp_path / "first" / "counts.parquet").write_bytes(b"")
    done = run_stage(
        "count_tokens",
        "--settings",
        "{}",
        "--data",
        sums,
        "--tokenizer",
        language_model,
        "--output",
        tmp_path / "b",
    )
    assert done.returncode == EXIT_STATUS
    assert "counts.parquet is not what its stage wrote" in done.stderr


def test_the_manifest_names_the_code_that_ran(task_data: Path, language_model: Path, tmp_path: Path) -> None:
    roots = ["kdpipe.stages.count_tokens", "kdpipe.losses.kl"]
    count(task_data, language_model, tmp_path / "counts", "{}", "--code", *roots)
    modules = code_of(roots)
    code = {"identity": identity(modules), "roots": roots, "modules": modules}
    assert read_manifest(tmp_path / "counts")["code"] == code


CODE = {"identity": "2d9a", "roots": ["kdpipe.stages.prune"], "modules": {}}
ORIGIN = {
    "settings": {"rate": 1},
    "inputs": {"models/base": "0b7e"},
    "code": CODE,
}


@pytest.mark.parametrize(
    ("origin", "files", "there"),
    [
        (ORIGIN, {"a.txt": "read"}, True),
        ({**ORIGIN, "code": {**CODE, "identity": "3eab"}}, {"a.txt": "read"}, False),
        ({**ORIGIN, "settings": {"rate": 2}}, {"a.txt": "read"}, False),
        ({**ORIGIN, "inputs": {"models/base": "1c8f"}}, {"a.txt": "read"}, False),
        (ORIGIN, {"a.txt": "changed"}, False),
        (ORIGIN, {"a.txt": "read", "b.txt": "new"}, False),
        (ORIGIN, {}, False),
    ],
)
def test_what_was_finished_from_the_same_is_put_back(
    tmp_path: Path, origin: dict[str, object], files: dict[str, str], there: bool
) -> None:
    """Snakemake removes the artifact of a process that outlived its workflow."""
    folder, output, state = tmp_path / "texts", tmp_path / "made", tmp_path / ".state"

    def digests() -> dict[str, str]:
        return {str(path): file_digest(path) for path in folder.iterdir()}

    folder.mkdir()
    (folder / "a.txt").write_text("read")
    with Workspace(output, state, origin=ORIGIN).artifact() as draft:
        (draft.folder / "data").write_text("made")
        draft.record(source_files=digests())
    before = (output / "data").stat().st_ino
    shutil.rmtree(output)
    (folder / "a.txt").unlink()
    for name, text in files.items():
        (folder / name).write_text(text)
    assert Workspace(output, state, origin=origin, sources=digests).take_up() == there
    assert (output / SUMS).exists() == there
    if there:
        verify(output)
        assert (output / "data").stat().st_ino == before
        assert not list((state / "drafts").iterdir())


def test_what_was_removed_in_part_is_put_back(tmp_path: Path) -> None:
    """The same holds if a process finishes the artifact while a workflow removes it."""
    workspace = Workspace(tmp_path / "made", tmp_path / ".state", origin=ORIGIN)
    with workspace.artifact() as draft:
        for name in ("data", "more"):
            (draft.folder / name).write_text(name)
    (workspace.output / "more").unlink()
    assert workspace.take_up()
    verify(workspace.output)
    assert not list((workspace.state / "drafts").iterdir())


def test_what_reads_more_than_is_known_is_not_put_back(tmp_path: Path) -> None:
    """A report is such a stage: it reads the files that its config names."""
    origin = {**ORIGIN, "inputs": {}}
    with Workspace(tmp_path / "made", tmp_path / ".state", origin=origin).artifact() as draft:
        (draft.folder / "data").write_text("made")
    assert not Workspace(tmp_path / "made", tmp_path / ".state", origin=origin).take_up()


def test_a_manifest_that_breaks_off_is_named_and_vouches_for_nothing(tmp_path: Path) -> None:
    output, state = tmp_path / "made", tmp_path / ".state"
    with Workspace(output, state, origin=ORIGIN).artifact() as draft:
        (draft.folder / "data").write_text("made")
    manifest = output / MANIFEST
    manifest.write_text(manifest.read_text()[:-10])
    with pytest.raises(KdpipeError, match=f"{manifest} is not as it was written; delete "):
        read_manifest(output)
    with pytest.raises(KdpipeError, match=f"{manifest} is not what"), Workspace(output, state).turn():
        pass
    manifest.unlink()
    with Workspace(output, state, origin=ORIGIN).turn() as wanted:
        assert wanted


@pytest.mark.parametrize("kind", ["checkpoints", "drafts", "finished"])
@pytest.mark.parametrize("place", [Path.touch, os.mkfifo, lambda path: path.symlink_to("/nowhere")])
def test_what_lies_in_the_place_of_its_state_makes_room(
    tmp_path: Path, kind: str, place: Callable[[Path], None]
) -> None:
    workspace = Workspace(tmp_path / "made", tmp_path / ".state", origin=ORIGIN)
    folder = workspace.state / kind / state_name(workspace.output, workspace.state)
    folder.parent.mkdir(parents=True)
    place(folder)
    with workspace.turn() as wanted:
        assert wanted
        with workspace.checkpoints.write(1) as path:
            (path / "weights").touch()
        assert workspace.checkpoints.latest() == path
        with workspace.artifact() as draft:
            (draft.folder / "data").write_text("made")
    verify(workspace.output)
    verify(finished(workspace.output, workspace.state))
    assert not workspace.checkpoints.folder.exists()


@pytest.mark.parametrize("place", ["", "checkpoints", "drafts", "finished", "locks"])
def test_a_file_where_state_is_to_be_kept(tmp_path: Path, place: str) -> None:
    path = tmp_path / ".state" / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(
        KdpipeError, match=f"{path}: expected a folder of kdpipe's, found a file or a broken link"
    ):
        Workspace(tmp_path / "made", tmp_path / ".state", origin=ORIGIN).turn().__enter__()
    assert path.read_text() == "mine"


def test_arguments_may_stand_in_a_file(task_data: Path, language_model: Path, tmp_path: Path) -> None:
    """Also such as hold line ends of Unicode, whatever the locale."""
    words = ["--settings", '{"é\u2028\x85": 1}', "--output", str(tmp_path / "counts")]
    (tmp_path / "words").write_text(json.dumps(words), encoding="utf-8")
    places = ("--data", task_data, "--tokenizer", language_model)
    done = run_stage("count_tokens", f"@{tmp_path / 'words'}", *places)
    assert done.returncode == EXIT_STATUS
    assert done.stderr.startswith(r"count_tokens counts: é\u2028\x85: unknown key; ")


def test_a_file_of_arguments_that_is_none(tmp_path: Path) -> None:
    done = run_stage("count_tokens", f"@{tmp_path / 'none'}")
    assert done.returncode == EXIT_STATUS
    assert "none: expected a file with arguments as a JSON list, found: " in done.stderr
