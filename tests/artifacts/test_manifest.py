"""Every reader reports a manifest that is damaged in any way, and reads older manifests."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import MANIFEST, MOST
from kdpipe.commands.changes import explain_changes
from kdpipe.commands.clean import find_leftovers
from kdpipe.errors import KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.reporting.costs import model_costs, read_ledger


def is_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def is_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def is_huge(path: Path) -> None:
    os.truncate(path, MOST + 1)


@pytest.fixture
def path(graph: Graph) -> Path:
    """The manifest of the student."""
    return graph.layout.model("student") / MANIFEST


def all_readers_say(graph: Graph, path: Path) -> None:
    said = f"{path} is not as it was written; delete {path} and run its stage again"
    first, why, *follows = explain_changes(graph, "student").splitlines()
    assert (first, why) == (f"{path.parent} would be made again:", f"  {said}")
    assert all(line.endswith(f" would be made again, as it is made from {path.parent}") for line in follows)
    assert find_leftovers(graph) == ([], {})
    for read in (read_ledger, model_costs):
        with pytest.raises(KdpipeError) as told:
            read(graph)
        assert str(told.value) == said


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"{}", b"[]", b"null", b'"text"', b"3", b"{", b"\xff", b"\0"),
        *(b"[" * 100_000, b'{"a":' * 100_000, b"[" * 300 + b"]" * 300, b"1" * 5000),
    ],
    ids=lambda text: repr(text[:9]),
)
def test_another_text(graph: Graph, path: Path, text: bytes) -> None:
    path.write_bytes(text)
    all_readers_say(graph, path)


@pytest.mark.parametrize("put", [is_a_folder, is_a_pipe, is_huge])
def test_something_that_is_not_read(graph: Graph, path: Path, put: Callable[[Path], None]) -> None:
    put(path)
    all_readers_say(graph, path)


@pytest.mark.parametrize(("name", "value"), [
    ("settings", 3),
    ("settings", None),
    ("inputs", ["results/models/base"]),
    ("inputs", {"results/models/base": 3}),
    ("source_files", None),
    ("source_files", {"train.tsv": {}}),
    ("code", None),
    ("code", {"identity": "1"}),
    ("code", {"identity": 1, "roots": [], "modules": {}}),
    ("code", {"identity": "1", "roots": "kdpipe", "modules": {}}),
    ("code", {"identity": "1", "roots": [], "modules": {"kdpipe.stages.prune": 1}}),
    ("versions", "2.8"),
    ("commit", 3),
    ("device", None),
    ("seconds", "3"),
    ("seconds", float("nan")),
    ("examples_seen", "many"),
    ("forwards", [1]),
])  # fmt: skip
def test_a_fact_of_another_kind(graph: Graph, path: Path, name: str, value: object) -> None:
    path.write_text(json.dumps({**read_manifest(path.parent), name: value}))
    all_readers_say(graph, path)


@pytest.mark.parametrize("name", ["versions", "commit", "device", "seconds"])
def test_a_fact_that_is_missing(graph: Graph, path: Path, name: str) -> None:
    path.write_text(json.dumps({key: v for key, v in read_manifest(path.parent).items() if key != name}))
    all_readers_say(graph, path)


@pytest.mark.parametrize("name", ["settings", "inputs"])
def test_what_it_is_made_from_is_missing(graph: Graph, path: Path, name: str) -> None:
    path.write_text(json.dumps({key: v for key, v in read_manifest(path.parent).items() if key != name}))
    assert f"{path.parent} would be made again" in explain_changes(graph, "student")


def test_older_manifests_and_what_else_one_may_say(path: Path) -> None:
    manifest = {**read_manifest(path.parent), "values": {"teacher": float("nan")}, "split": None}
    del manifest["code"]
    path.write_text(json.dumps(manifest))
    assert str(read_manifest(path.parent)) == str(manifest)


def test_no_manifest(graph: Graph, path: Path) -> None:
    path.unlink()
    lines = explain_changes(graph, "student").splitlines()
    assert lines[:2] == [f"{path.parent} would be made again:", "  it is not there"]
    with pytest.raises(KdpipeError, match=f"{path} is missing; run its stage again"):
        read_manifest(path.parent)


def test_one_that_may_not_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read every file of a disk, so the test takes a file of no disk."""
    path.unlink()
    path.symlink_to("/proc/self/mem")
    with pytest.raises(KdpipeError, match=f"{path} cannot be read: Input/output error"):
        read_manifest(path.parent)
