"""Every reason for which an artifact would be made again is told."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.sums import MANIFEST
from kdpipe.commands.changes import NONE, explain_changes, setting_differences
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import jobs_for, model_job
from tests.made import make


def test_a_change_of_threads(graph: Graph, graph_with: Callable[..., Graph]) -> None:
    assert explain_changes(graph, "student") == "student is as the config says"
    found = explain_changes(graph_with(lambda config: config.update(threads=3)), "student")
    assert found.count("  threads was 2 and is 3") == found.count("would be made again:") == 6
    small, base = graph.layout.model("small"), graph.layout.model("base")
    assert f"{small} would be made again, as it is made from {base}" in found.splitlines()


def test_other_batches_measure_a_model_again(graph_with: Callable[..., Graph], tmp_path: Path) -> None:
    (tmp_path / "glue/MRPC").mkdir(parents=True)

    def measured(**latency: Any) -> Graph:
        return graph_with(lambda config: config.update(measure={"models": ["teacher"], "latency": latency}))

    graph = measured(threads=3)
    for job in jobs_for(graph, graph.nodes):
        make(graph, job)
    assert explain_changes(graph, "teacher") == "teacher is as the config says"
    found = explain_changes(measured(batch=[2, 32], threads=4), "teacher").splitlines()
    assert found == [
        f"{graph.layout.measurement('teacher')} would be made again:",
        "  settings.batch.0 was 1 and is 2",
        "  settings.threads was 3 and is 4",
        "  threads was 3 and is 4",
    ]


def test_an_artifact_that_was_made_before_code_was_recorded(graph: Graph) -> None:
    path = graph.layout.model("small") / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["code"]
    path.write_text(json.dumps(manifest))
    assert (
        "  its manifest does not name the code that made it" in explain_changes(graph, "small").splitlines()
    )


def test_an_input_that_is_no_longer_read(graph: Graph, graph_with: Callable[..., Graph]) -> None:
    def change(config: dict[str, Any]) -> None:
        config["models"]["student"]["distill"]["student"] = "base"

    found = explain_changes(graph_with(change), "student").splitlines()
    assert f"  it is no longer made from {graph.layout.model('small')}" in found


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.usefixtures("graph")
def test_source_files_that_have_come_and_gone(
    graph_with: Callable[..., Graph], tmp_path: Path, there: bool
) -> None:
    folder = tmp_path / "glue/MRPC"
    file = folder / ("dev.tsv" if there else "train.tsv")
    file.touch() if there else file.unlink()
    told = f"  {file} is new" if there else f"  {file} is no longer read"
    assert told in explain_changes(graph_with(), "teacher").splitlines()


def test_files_count_by_what_is_in_them_whatever_their_time(graph: Graph, tmp_path: Path) -> None:
    file = tmp_path / "glue/MRPC/train.tsv"
    file.touch()
    assert explain_changes(graph, "teacher") == "teacher is as the config says"
    file.write_text("other")
    assert f"  {file} has changed" in explain_changes(graph, "teacher").splitlines()
    os.utime(file, (0, 0))
    assert f"  {file} has changed" in explain_changes(graph, "teacher").splitlines()


def test_what_is_only_read_is_missed_by_what_reads_it(
    graph: Graph, graph_with: Callable[..., Graph], tmp_path: Path
) -> None:
    (key,) = graph.caches
    caches, data = graph.layout.knowledge(*key), graph.layout.data("task", "base")
    for folder in (caches, data):
        shutil.rmtree(folder)
    first, noted, *rest = explain_changes(graph, "student").splitlines()
    assert (first, noted) == ("student is as the config says", "no reason to make anything again:")
    assert [line.split()[0] for line in rest] == [str(data), str(caches)]

    def slower(config: dict[str, Any]) -> None:
        config["models"]["student"]["distill"]["training"] = {"learning_rate": 1e-5}

    found = explain_changes(graph_with(slower), "student")
    for folder in (caches, data):
        assert f"{folder} would be made again:\n  it is not there" in found
    assert "no reason" not in found


def test_other_weights_in_a_folder_that_is_loaded(
    graph_with: Callable[..., Graph], language_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(language_model, tmp_path / "given")
    graph = graph_with(lambda config: config["models"].update(given={"load": {"path": str(folder)}}))
    make(graph, model_job(graph, "given"))
    assert explain_changes(graph, "given") == "given is as the config says"
    (folder / "model.safetensors").write_bytes(b"other")
    assert f"  {folder / 'model.safetensors'} has changed" in explain_changes(graph, "given").splitlines()


def test_what_another_model_misses_is_made_again_for_all_that_read_it(
    graph: Graph, graph_with: Callable[..., Graph]
) -> None:
    """Snakemake runs again all that read what it makes."""
    shutil.rmtree(graph.layout.data("task", "base"))

    def slower(config: dict[str, Any]) -> None:
        config["models"]["student"]["distill"]["training"] = {"learning_rate": 1e-5}

    found = explain_changes(graph_with(slower), "teacher").splitlines()
    assert found[:2] == [f"{graph.layout.data('task', 'base')} would be made again:", "  it is not there"]


@pytest.mark.parametrize("gone", ["made.json", "SHA256SUMS"])
def test_what_is_only_read_is_missed_if_it_would_be_another(
    graph: Graph, graph_with: Callable[..., Graph], gone: str
) -> None:
    """Its manifest is there, as `clean` leaves it, and says what it was made from."""
    data = graph.layout.data("task", "base")
    (data / gone).unlink()
    assert explain_changes(graph, "student") == "student is as the config says"

    def shorter(config: dict[str, Any]) -> None:
        config["datasets"]["task"]["max_length"] = 64

    found = explain_changes(graph_with(shorter), "student").splitlines()
    assert "  settings.max_length was 128 and is 64" in found[found.index(f"{data} would be made again:") :]


def test_a_dataset_of_the_hub_is_looked_at(graph_with: Callable[..., Graph], tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository/train.parquet").write_bytes(b"rows")

    def fetched(config: dict[str, Any]) -> None:
        config["datasets"]["task"] = {
            "source": "table", "hub": "./repository", "task": "classification", "text": "t", "label": "l",
            "classes": ["a", "b"],
        }  # fmt: skip

    graph = graph_with(fetched)
    for job in jobs_for(graph, graph.nodes):
        make(graph, job)
    assert explain_changes(graph, "teacher") == "teacher is as the config says"
    (tmp_path / "repository/train.parquet").write_bytes(b"other")
    (folder,) = (job.folder for job in jobs_for(graph, ["teacher"]) if job.stage == "fetch")
    found = explain_changes(graph, "teacher").splitlines()
    assert found[:2] == [
        f"{folder} would be made again:",
        f"  {tmp_path / 'repository/train.parquet'} has changed",
    ]


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ({"a": None}, {"a": {"b": [1, 2]}}, [("a", NONE, {"b": [1, 2]})]),
        ({"a": {"b": 1}}, {"a": None}, [("a", {"b": 1}, NONE)]),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}, 4]}, [("a.1.b", 2, 3), ("a.2", NONE, 4)]),
        ({"a": None}, {"a": 1}, [("a", None, 1)]),
        ({"a": 1e-5, "b": {}}, {"a": "1e-5", "b": {}}, []),
    ],
)
def test_settings_that_come_or_go_as_a_whole_are_one_difference(then: Any, now: Any, expected: Any) -> None:
    assert list(setting_differences(then, now)) == expected
