"""Fetching datasets: from folders, and from a Hub that a test serves."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import read_sums, verify
from kdpipe.data.sources.table import TableSource
from kdpipe.errors import DataError
from kdpipe.plan.stages.fetch import FetchSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.fetch import run
from tests.stages.conftest import job_for
from tests.stages.served_hub import Handler, Hub

MAIN = "a" * 40
CARD = """---
configs:
- config_name: reviews
  data_files:
  - {split: train, path: data/train-*}
  - {split: test, path: data/test.parquet}
---
# Reviews
"""


def write_split(file: Path, texts: list[str], labels: list[int]) -> None:
    feature = {"names": ["bad", "good"], "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": texts, "label": labels}).replace_schema_metadata(metadata), file)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "reviews"
    write_split(folder / "data/train-00000-of-00002.parquet", ["a", "b"], [1, 0])
    write_split(folder / "data/train-00001-of-00002.parquet", ["c"], [1])
    write_split(folder / "data/test.parquet", ["d"], [-1])
    (folder / "README.md").write_text(CARD)
    return folder


def local(folder: Path, **settings: Any) -> FetchSettings:
    return FetchSettings(path=str(folder), local=True, **settings)


def read(kept: Path) -> dict[str, list[tuple[str, str, Any]]]:
    source = TableSource(task="classification", text="text", label="label", path=kept)
    assert source.labels == ("bad", "good")
    return {split: [(e.id, e.text, e.label) for e in source.read(split)] for split in source.splits()}


EXPECTED = {
    "train": [("train:1", "a", "good"), ("train:2", "b", "bad"), ("train:3", "c", "good")],
    "test": [("test:1", "d", None)],
}


def test_a_folder_is_stored_by_splits_and_read_by_names(repository: Path, workspace: Workspace) -> None:
    run(local(repository), workspace)
    verify(workspace.output)
    assert list(read_sums(workspace.output)) == ["test.parquet", "train.parquet"]
    assert read_manifest(workspace.output)["rows"] == {"train": 3, "test": 1}
    assert read(workspace.output) == EXPECTED


def test_the_same_folder_gives_the_same_bytes(repository: Path, workspace: Workspace, tmp_path: Path) -> None:
    run(local(repository), workspace)
    run(local(repository), job_for(tmp_path / "again"))
    assert read_sums(workspace.output) == read_sums(tmp_path / "again")


def test_a_folder_that_is_edited_while_it_is_stored(
    repository: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, test = Dataset.to_parquet, repository / "data/test.parquet"

    def edited(table: Dataset, path: str) -> Any:
        write_split(test, ["e"], [-1])
        return store(table, path)

    monkeypatch.setattr(Dataset, "to_parquet", edited)
    with pytest.raises(DataError, match=rf"{test}: .* it was changed while it was read; run the stage again"):
        run(local(repository), workspace)
    assert not workspace.output.exists()


def test_classes_that_only_the_readme_declares(repository: Path, workspace: Workspace) -> None:
    """As datasets that were not written by `datasets` have them; labels go by name, never by position."""
    for file in repository.rglob("*.parquet"):
        pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
    names = "{'1': good, '0': bad}"
    features = f"[{{name: text, dtype: string}}, {{name: label, dtype: {{class_label: {{names: {names}}}}}}}]"
    info = f"dataset_info:\n- {{config_name: reviews, features: {features}}}\nconfigs:"
    (repository / "README.md").write_text(CARD.replace("configs:", info))
    run(local(repository), workspace)
    assert read(workspace.output) == EXPECTED


@pytest.mark.parametrize(("name", "content", "message"), [
    ("data/test.parquet", "text", "could not be read: "),
    ("README.md", "---\na: [\n---\n", "could not be read: "),
    ("README.md", "---\nconfigs: 3\n---\n", "could not be read: "),
    ("README.md", CARD.replace("data/", "x/"), "could not be fetched: "),
    ("reviews.py", "raise RuntimeError('run')", "could not be read: .* scripts are never run: `rev"),
])  # fmt: skip
def test_a_mistake_is_told_and_nothing_is_written(
    repository: Path, workspace: Workspace, name: str, content: str, message: str
) -> None:
    (repository / name).write_text(content)
    with pytest.raises(DataError, match=rf"^the dataset {repository} {message}[^\n]+$"):
        run(local(repository), workspace)
    assert not workspace.output.exists()


def test_a_configuration_that_there_is_not(repository: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"'reviws' not found\. Available: \['reviews'\]"):
        run(local(repository, name="reviws"), workspace)


def test_what_was_altered_since_is_not_read(repository: Path, workspace: Workspace) -> None:
    run(local(repository), workspace)
    write_split(workspace.output / "test.parquet", ["e"], [0])
    with pytest.raises(Exception, match=r"test\.parquet is not what its stage wrote"):
        read(workspace.output)


@pytest.fixture
def fetch(tmp_path: Path) -> Iterator[Callable[..., "subprocess.CompletedProcess[str]"]]:
    """A function that runs the stage with a Hub that has some revisions."""
    hub = Hub(("127.0.0.1", 0), Handler)
    threading.Thread(target=hub.serve_forever, daemon=True).start()

    def fetch_from(
        revisions: Mapping[tuple[str, str], tuple[str, Path]], settings: Mapping[str, Any], output: Path
    ) -> "subprocess.CompletedProcess[str]":
        hub.revisions = revisions
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        environment |= {
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
            "HF_HOME": str(tmp_path / "home"),
        }
        command = [sys.executable, "-m", "kdpipe.stages.fetch", "--settings", json.dumps(settings)]
        return subprocess.run(
            [*command, "--output", str(output)], env=environment, capture_output=True, text=True, timeout=60
        )

    yield fetch_from
    hub.shutdown()
    hub.server_close()


def test_the_hub_is_pinned_to_a_commit(fetch, repository: Path, tmp_path: Path) -> None:
    output = tmp_path / "kept/default/main"
    done = fetch({("a/reviews", "main"): (MAIN, repository)}, {"path": "a/reviews"}, output)
    assert done.returncode == 0, done.stderr
    assert f"a/reviews at main is commit {MAIN}" in done.stderr
    assert read_manifest(output)["commit"] == MAIN
    assert read(output) == EXPECTED
    assert list((tmp_path / "home/hub").glob("datasets--a--reviews"))
    assert not list((tmp_path / "home").rglob("*.py"))


def test_a_folder_of_the_same_name_is_not_taken_for_a_repository(
    fetch, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    repository.rename(tmp_path / "a/reviews")
    monkeypatch.chdir(tmp_path)
    done = fetch({}, {"path": "a/reviews"}, tmp_path / "kept")
    assert done.returncode == 2
    assert "the dataset a/reviews at main could not be fetched: " in done.stderr


def test_what_the_hub_does_not_have_is_named(fetch, tmp_path: Path) -> None:
    done = fetch({}, {"path": "a/none"}, tmp_path / "kept")
    assert done.returncode == 2
    assert "the dataset a/none at main could not be fetched: " in done.stderr.splitlines()[-1]
    assert f"the room in {tmp_path / 'home/hub'} and " in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_network_the_hub_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="the dataset a/none at main could not be fetched: "):
        run(FetchSettings(path="a/none"), workspace)
