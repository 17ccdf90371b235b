"""Datasets of the Hub: where they come from, and where they are kept."""

import pytest

from kdpipe.plan.jobs import job_of
from kdpipe.plan.stages.fetch import FetchSettings
from kdpipe.plan.stages.preprocess import preprocess_settings

GLUE = {
    "source": "table",
    "hub": "nyu-mll/glue",
    "task": "classification",
    "text": "sentence",
    "label": "label",
}


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "own" / "reviews").mkdir(parents=True)
    return tmp_path


def fetches(graph):
    """Return the settings of each fetch by the folder that it writes."""
    return {name: job_of(graph, "fetch", name).settings["settings"] for name in graph.fetches}


def test_a_repository_is_kept_by_configuration_and_revision(graph_of):
    graph = graph_of({"data_dir": "d", "datasets.a": {**GLUE, "name": "sst2", "revision": "refs/pr/1"}})
    assert fetches(graph) == {
        "nyu-mll/glue/sst2/refs/pr/1": FetchSettings(path="nyu-mll/glue", name="sst2", revision="refs/pr/1")
    }
    (source,) = graph.datasets["a"].sources
    assert [str(path) for path in source.local_files()] == ["d/hub/nyu-mll/glue/sst2/refs/pr/1/SHA256SUMS"]
    (given,) = preprocess_settings(graph, "a").sources
    place = {"path": "d/hub/nyu-mll/glue/sst2/refs/pr/1", "name": "sst2", "revision": "refs/pr/1"}
    assert given == {**GLUE, **place}


def test_a_folder_is_kept_by_its_path(graph_of, data_dir):
    graph = graph_of({"data_dir": str(data_dir), "datasets.a": {**GLUE, "hub": "./own/reviews"}})
    folder = data_dir / "own" / "reviews"
    kept = f".local{folder}/default/main"
    assert fetches(graph) == {kept: FetchSettings(path=str(folder), local=True)}
    (source,) = graph.datasets["a"].sources
    assert source.local_files() == [data_dir / "hub" / kept / "SHA256SUMS"]


def test_datasets_of_one_repository_are_fetched_once(graph_of):
    other = {**GLUE, "max_length": 64}
    graph = graph_of({"datasets.a": GLUE, "datasets.b": other, "datasets.c": {"combine": ["a", "b"]}})
    assert list(graph.fetches) == ["nyu-mll/glue/default/main"]


def test_a_task_of_glue_is_the_configuration_of_its_name(graph_of):
    task = {"source": "glue", "hub": "nyu-mll/glue", "name": "STS-B", "revision": "b" * 40}
    graph = graph_of({"data_dir": "data", "datasets.a": task})
    (kept,) = graph.fetches
    assert fetches(graph)[kept] == FetchSettings(path="nyu-mll/glue", name="stsb", revision="b" * 40)
    assert graph.datasets["a"].task == "regression"
    assert graph.datasets["a"].metrics == ("pearson", "spearman", "pearson_and_spearman")
    (source,) = graph.datasets["a"].sources
    assert [str(path) for path in source.local_files()] == [f"data/hub/{kept}/SHA256SUMS"]


def test_a_task_that_glue_has_not(mistakes_of):
    found = mistakes_of({"datasets.a": {"source": "glue", "hub": "nyu-mll/glue", "name": "MRPD"}})
    assert found == ["datasets.a.name: 'MRPD' is not known; did you mean 'MRPC'?"]


@pytest.mark.parametrize(("settings", "mistake"), [
    ({"hub": "/no/such"}, "hub: there is no folder /no/such; a repository of the Hub is named OWNER/NAME"),
    ({"hub": "./nyu-mll/glue"}, "hub: there is no folder "),
    ({"hub": "squad"}, "hub: expected a repository as OWNER/NAME, or a folder with the layout"),
    ({"hub": "./own/reviews", "revision": "v1"}, "revision: the local folder "),
    ({"revision": "r" * 120}, "hub: its last name may have 100 bytes, found 120"),
    ({"name": "../x"}, "name: should match pattern"),
    ({"revision": "a/../b"}, "revision: should match pattern"),
    ({"train": "x"}, "train: the repository that `hub` names is read in place of files; remove one of them"),
    ({"path": "x"}, "path: the repository that `hub` names is read in place of files; remove one of them"),
    ({"source": "hub"}, "source: is no source any more; write `source: table`, and the repository as `hub`"),
    ({"source": "glue_hub"}, "source: is no source any more; write `source: glue`, and the repository as"),
    ({"label": ["a", "b"]}, "label: a list of columns is read for multi_label"),
])  # fmt: skip
def test_mistakes(mistakes_of, data_dir, settings, mistake):
    (found,) = mistakes_of({"data_dir": str(data_dir), "datasets.a": {**GLUE, **settings}})
    assert found.startswith(f"datasets.a.{mistake}")


def test_a_missing_folder_is_never_taken_for_a_repository(graph_of, mistakes_of):
    without = {key: value for key, value in GLUE.items() if key != "hub"}
    graph = graph_of({"datasets.a": {**without, "path": "nyu-mll/glue"}})
    assert graph.fetches == {}
    assert mistakes_of({"datasets.a": without})[0].startswith("datasets.a.path: is required where no file")


@pytest.mark.parametrize("setting", [{"revision": "v1"}, {"name": "sst2"}])
def test_what_only_a_repository_has(mistakes_of, setting):
    files = {**GLUE, **setting, "path": "reviews", "hub": None}
    (found,) = mistakes_of({"datasets.a": files})
    assert found.startswith(f"datasets.a.{next(iter(setting))}: belongs to a repository; give the repository")
