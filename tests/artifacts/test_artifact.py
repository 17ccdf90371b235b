"""An artifact appears whole or not at all."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from kdpipe.artifacts.artifact import publish, read_manifest
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.sums import SUMS, read_sums, verify
from kdpipe.errors import KdpipeError


def write(output: Path, content: str, name: str = "data.txt") -> None:
    state = output.parent / ".state"
    with publish(output, state, {"settings": {"rate": 1}}, Clock()) as draft:
        (draft.folder / name).write_text(content)
        draft.record(examples_seen=3)


def test_an_artifact_has_its_files_manifest_and_sums(tmp_path: Path) -> None:
    write(tmp_path / "a", "hello")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [SUMS, "data.txt", "manifest.json"]
    manifest = read_manifest(tmp_path / "a")
    assert manifest["settings"] == {"rate": 1}
    assert manifest["examples_seen"] == 3
    assert "torch" in manifest["versions"]


def test_sha256sum_reads_the_sums(tmp_path: Path) -> None:
    write(tmp_path / "a", "hello")
    checked = subprocess.run(["sha256sum", "-c", SUMS], cwd=tmp_path / "a", capture_output=True, text=True)
    assert checked.stdout == "data.txt: OK\n"


def test_the_sums_are_free_of_times(tmp_path: Path) -> None:
    write(tmp_path / "a", "hello")
    time.sleep(0.01)
    write(tmp_path / "b", "hello")
    assert (tmp_path / "a" / SUMS).read_bytes() == (tmp_path / "b" / SUMS).read_bytes()


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path / "a", "old")

    def fail() -> None:
        with publish(tmp_path / "a", tmp_path / ".state", {}, Clock()) as draft:
            (draft.folder / "data.txt").write_text("half")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert (tmp_path / "a" / "data.txt").read_text() == "old"
    verify(tmp_path / "a")
    assert not list((tmp_path / ".state" / "drafts").iterdir())


@pytest.mark.parametrize("has_sums", [True, False])
def test_a_new_version_leaves_no_file_of_the_old(tmp_path: Path, has_sums: bool) -> None:
    write(tmp_path / "a", "old", name="old.txt")
    if not has_sums:
        # Before a job, Snakemake deletes the outputs that it knows.
        (tmp_path / "a" / SUMS).unlink()
    write(tmp_path / "a", "new", name="new.txt")
    assert list(read_sums(tmp_path / "a")) == ["new.txt"]
    assert not (tmp_path / "a" / "old.txt").exists()


@pytest.mark.parametrize("harm", ["alter", "truncate", "remove"])
def test_harm_is_detected_and_named(tmp_path: Path, harm: str) -> None:
    write(tmp_path / "a", "hello")
    path = tmp_path / "a" / "data.txt"
    path.unlink() if harm == "remove" else path.write_text("hullo" if harm == "alter" else "hel")
    with pytest.raises(KdpipeError, match=r"data\.txt"):
        verify(tmp_path / "a")


@pytest.mark.parametrize("text", ["", "0b7e", "half of a line  data.txt\n"])
def test_sums_that_are_not_as_they_were_written_are_named(tmp_path: Path, text: str) -> None:
    write(tmp_path / "a", "hello")
    (tmp_path / "a" / SUMS).write_text(text)
    with pytest.raises(KdpipeError, match=f"{SUMS} is not as it was written; delete .*{SUMS} and run"):
        verify(tmp_path / "a")


def test_a_file_that_is_not_of_the_artifact_is_named(tmp_path: Path) -> None:
    """Somebody may have planted the file, or a list of digests that breaks off may not name the file."""
    write(tmp_path / "a", "hello")
    (tmp_path / "a" / "pytorch_model.bin").write_text("pickle")
    with pytest.raises(KdpipeError, match=r"pytorch_model\.bin is not in .*: move it away"):
        verify(tmp_path / "a")
    (tmp_path / "a" / "pytorch_model.bin").rename(tmp_path / "a" / ".nfs0001")
    verify(tmp_path / "a")


def test_a_folder_without_sums_is_no_artifact(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({}))
    with pytest.raises(KdpipeError, match="no finished artifact"):
        verify(tmp_path)
