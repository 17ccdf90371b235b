"""Fetching datasets: from folders, and from a Hub that a test serves."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import read_sums, verify
from kdpipe.data.sources.hub import HubSource
from kdpipe.errors import DataError
from kdpipe.plan.stages.fetch import FetchSettings
from kdpipe.runner.run import Job
from kdpipe.stages.fetch import run
from tests.stages.served_hub import Handler, Hub

MAIN, CONVERTED = "a" * 40, "c" * 40
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
    (folder / "reviews.py").write_text("raise RuntimeError('run')")
    return folder


def local(folder: Path, **settings: Any) -> FetchSettings:
    return FetchSettings(path=str(folder), local=True, **settings)


def read(kept: Path) -> dict[str, list[tuple[str, str, Any]]]:
    places = {"path": kept.parent.parent, "name": kept.parent.name, "revision": kept.name}
    source = HubSource(task="classification", text="text", label="label", **places)
    assert source.labels == ("bad", "good")
    return {split: [(e.id, e.text, e.label) for e in source.read(split)] for split in source.splits()}


EXPECTED = {
    "train": [
        ("train:train-00000.parquet:1", "a", "good"),
        ("train:train-00000.parquet:2", "b", "bad"),
        ("train:train-00001.parquet:1", "c", "good"),
    ],
    "test": [("test:1", "d", None)],
}


def test_a_folder_is_stored_by_splits_and_read_by_names(repository: Path, job: Job) -> None:
    run(local(repository), job)
    verify(job.output)
    assert list(read_sums(job.output)) == ["test-00000.parquet", "train-00000.parquet", "train-00001.parquet"]
    manifest = read_manifest(job.output)
    assert manifest["rows"] == {"train": 3, "test": 1}
    assert manifest["splits"]["test"] == ["data/test.parquet"]
    assert read(job.output) == EXPECTED


def test_a_folder_that_is_edited_while_it_is_stored(
    repository: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, test = shutil.copyfile, repository / "data/test.parquet"

    def edited(source: Path, target: Path) -> None:
        write_split(test, ["e"], [-1])
        copy(source, target)

    monkeypatch.setattr("shutil.copyfile", edited)
    with pytest.raises(DataError, match=rf"{test}: .* it was changed while it was read; run the stage again"):
        run(local(repository), job)
    assert not job.output.exists()


@pytest.mark.parametrize("name", ["data/test.parquet", "data/train-00000-of-00002.parquet"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_damaged_file_is_named(repository: Path, job: Job, name: str, declared: bool) -> None:
    if declared:
        info = "dataset_info: {features: [{name: label, dtype: {class_label: {names: [bad, good]}}}]}"
        (repository / "README.md").write_text(CARD.replace("configs:", f"{info}\nconfigs:"))
    (repository / name).write_bytes((repository / name).read_bytes()[:-20])
    with pytest.raises(
        DataError, match=rf"{name}: expected a whole Parquet file, found something else: [^\n]+$"
    ):
        run(local(repository), job)


def test_a_pipe_is_no_file_of_a_repository(repository: Path, job: Job) -> None:
    (repository / "data/test.parquet").unlink()
    os.mkfifo(repository / "data/test.parquet")
    run(local(repository), job)
    assert read_manifest(job.output)["rows"] == {"train": 3}


def test_classes_that_only_the_readme_declares(repository: Path, job: Job) -> None:
    """As datasets that were not written by `datasets` have them; labels go by name, never by position."""
    for file in repository.rglob("*.parquet"):
        pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
    names = "{'1': good, '0': bad}"
    features = f"[{{name: text, dtype: string}}, {{name: label, dtype: {{class_label: {{names: {names}}}}}}}]"
    info = f"dataset_info:\n- {{config_name: reviews, features: {features}}}\nconfigs:"
    (repository / "README.md").write_text(CARD.replace("configs:", info))
    run(local(repository), job)
    assert read(job.output) == EXPECTED


@pytest.mark.parametrize(("name", "content", "message"), [
    ("data/test.parquet", "text", r"data/test\.parquet: expected a whole Parquet file, found something"),
    ("README.md", "---\na: [\n---\n", r"reviews: expected YAML at the top of its README\.md"),
    ("README.md", "---\nconfigs: 3\n---\n", "reviews: expected `configs` of the README to name data files"),
    ("README.md", CARD.replace("configs:", "dataset_info: 3\nconfigs:"), "reviews: expected `dataset_info`"),
    ("README.md", CARD.replace("data/", "x/"), "reviews: expected Parquet files .* 'default', found none$"),
])  # fmt: skip
def test_a_mistake_is_told_and_nothing_is_written(
    repository: Path, job: Job, name: str, content: str, message: str
) -> None:
    (repository / name).write_text(content)
    with pytest.raises(DataError, match=message):
        run(local(repository), job)
    assert not job.output.exists()


def test_what_was_altered_since_is_not_read(repository: Path, job: Job) -> None:
    run(local(repository), job)
    write_split(job.output / "test-00000.parquet", ["e"], [0])
    with pytest.raises(Exception, match=r"test-00000\.parquet is not what its stage wrote"):
        read(job.output)


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


def test_what_the_hub_has_converted_is_taken_where_there_is_no_parquet(
    fetch, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/train.csv").write_text("text\na\n")
    write_split(tmp_path / "converted/default/train/0000.parquet", ["a"], [1])
    revisions = {
        ("a/b", "main"): (MAIN, tmp_path / "own"),
        ("a/b", "refs/convert/parquet"): (CONVERTED, tmp_path / "converted"),
    }
    output = tmp_path / "kept/default/main"
    done = fetch(revisions, {"path": "a/b"}, output)
    assert done.returncode == 0, done.stderr
    assert read_manifest(output)["commit"] == CONVERTED
    assert read(output) == {"train": [("train:1", "a", "good")]}
    done = fetch(revisions, {"path": "a/b", "revision": MAIN}, tmp_path / "other")
    assert done.returncode == 2
    assert (
        "expected Parquet files of the configuration 'default', found none; `revision: refs/con"
        in done.stderr
    )


def test_what_the_hub_does_not_have_is_named(fetch, tmp_path: Path) -> None:
    done = fetch({}, {"path": "a/none"}, tmp_path / "kept")
    assert done.returncode == 2
    assert "the dataset a/none at main could not be fetched from the Hub: " in done.stderr.splitlines()[-1]
    assert f"the room in {tmp_path / 'home/hub'}, or" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_network_the_hub_is_named(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="the dataset a/none at main could not be fetched from the Hub"):
        run(FetchSettings(path="a/none"), job)
