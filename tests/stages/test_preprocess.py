"""Encoding a dataset as its settings say."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import file_digest, read_sums
from kdpipe.config.settings.augmentation import CopiesSettings
from kdpipe.data import pipeline
from kdpipe.data.encoded import labelled_splits, read_description
from kdpipe.data.source import Example
from kdpipe.data.sources.glue import GlueSource
from kdpipe.errors import DataError
from kdpipe.models.loading import load_tokenizer
from kdpipe.plan.stages.preprocess import PreprocessSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.preprocess import run
from tests.encoded import read_split
from tests.stages.conftest import job_for


def settings(path: Path, copies: int = 1, **more: Any) -> PreprocessSettings:
    source = {"source": "glue", "name": "SST-2", "path": str(path)}
    given = {"sources": [source] * copies, "task": "classification", "max_length": 32, **more}
    return PreprocessSettings.model_validate(given)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, 96),
        ({"rows": 10}, 10),
        ({"copies": 2}, 192),
        ({"copies": 2, "proportions": [0.5, 1.25]}, 168),
        ({"labels": "none"}, 96),
    ],
)
def test_rows_copies_and_labels(
    sst2: Path, language_model: Path, workspace: Workspace, options, rows: int
) -> None:
    run(settings(sst2, **options), workspace, tokenizer=language_model)
    splits = read_description(workspace.output)["splits"]
    assert splits["train"]["rows"] == rows
    assert splits["validation"]["rows"] == 40
    assert ("labels" in splits["train"]["columns"]) == ("labels" not in options)


@pytest.mark.parametrize("method", [
    {"method": "mask", "options": {"probability": 0.3}},
    {"method": "delete", "options": {"probability": 0.3}},
    {"method": "ngram", "options": {}},
    {"method": "short_disorder", "options": {"probabilities": [0.5, 0.2, 0.1, 0.1, 0.1]}},
    {"method": "long_disorder", "options": {"probability": 0.5, "length": 0.5}},
])  # fmt: skip
def test_copies_with_other_words(
    sst2: Path, language_model: Path, workspace: Workspace, tmp_path: Path, method: dict[str, Any]
) -> None:
    given = settings(sst2, rows=20).model_copy(
        update={"copies": CopiesSettings.model_validate({**method, "copies": 2})}
    )
    run(given, workspace, tokenizer=language_model)
    rows, manifest = read_split(workspace.output, "train"), read_manifest(workspace.output)
    copies = [name for name in rows["id"].to_pylist() if "+" in name]
    assert len(rows) == 20 + len(copies)
    assert len(copies) == manifest["copies"] == 40 - manifest.get("left_out", 0) > 30
    masked = load_tokenizer(language_model).mask_token_id
    assert (masked in pc.list_flatten(rows["input_ids"]).to_pylist()) == (method["method"] == "mask")
    assert read_description(workspace.output)["splits"]["validation"]["rows"] == 40
    sums = []
    for processes in (1, 2):
        other = job_for(tmp_path / f"with-{processes}")
        other.threads = processes
        run(given, other, tokenizer=language_model)
        sums.append(read_sums(other.output)["train.arrow"])
    assert sums == [read_sums(workspace.output)["train.arrow"]] * 2


def test_a_table_without_labels_where_they_are_dropped(
    language_model: Path, workspace: Workspace, write: Callable[..., Path]
) -> None:
    train, test = write("text\nfine\n", "a.tsv"), write("text\tlabel\nfine\t1\n", "b.tsv")
    table = {"source": "table", "text": "text", "label": "label", "classes": [0, 1], "train": str(train)}
    given = {
        "sources": [{**table, "splits": {"hard": str(test)}}],
        "task": "classification",
        "max_length": 32,
    }
    run(PreprocessSettings.model_validate({**given, "labels": "none"}), workspace, tokenizer=language_model)
    assert read_description(workspace.output)["labels"] == ["0", "1"]
    assert labelled_splits(workspace.output) == ["hard"]
    with pytest.raises(DataError, match=r"a\.tsv:1: expected a column 'label'"):
        run(PreprocessSettings.model_validate(given), workspace, tokenizer=language_model)


def test_what_was_found_is_told_in_the_log(
    sst2: Path, language_model: Path, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run(settings(sst2), workspace, tokenizer=language_model)
    rows = (sst2 / "train.tsv").read_text().splitlines()
    assert "train: 96 examples, 96 rows, " in caplog.text
    cold, warm = (sum(line.endswith(f"\t{label}") for line in rows) for label in "01")
    assert f"train: 0: {cold}, 1: {warm}\n" in caplog.text


def test_the_manifest_names_the_files_that_were_read(
    sst2: Path, language_model: Path, workspace: Workspace
) -> None:
    run(settings(sst2), workspace, tokenizer=language_model)
    files = read_manifest(workspace.output)["source_files"]
    assert files == {str(path): file_digest(path) for path in sst2.iterdir()}


def append(file: Path) -> None:
    file.write_text(f"{file.read_text()}a good film\t1\n")


def alter(file: Path) -> None:
    """Change a file, and neither its size nor the time of its last change."""
    stat = file.stat()
    file.write_text(file.read_text().replace("good", "dull"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def alter_and_back(file: Path) -> None:
    content = file.read_bytes()
    alter(file)
    file.write_bytes(content)


def replace(file: Path) -> None:
    shutil.copy(file, file.with_suffix(".new"))
    alter(file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)


def shorten(file: Path) -> None:
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:50]))


@pytest.mark.parametrize("edit", [append, alter, alter_and_back, replace, shorten])
@pytest.mark.parametrize("copies", [1, 2])
def test_a_file_that_is_edited_while_it_is_read(
    sst2: Path,
    language_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edit: Callable[[Path], None],
    copies: int,
) -> None:
    monkeypatch.setattr(pipeline, "CHUNK_EXAMPLES", 8)
    monkeypatch.setattr(pipeline, "CHUNKS_OF_A_SHARD", 1)
    folder, read = shutil.copytree(sst2, tmp_path / "SST-2"), GlueSource.read
    train, given = folder / "train.tsv", settings(folder, copies)
    # The clock of a file system may tick a hundred times a second only.
    time.sleep(0.03)

    def edited(source: GlueSource, split: str) -> Iterator[Example]:
        for number, example in enumerate(read(source, split)):
            if split == "train" and number == 20:
                edit(train)
            yield example

    with monkeypatch.context() as patch:
        patch.setattr(GlueSource, "read", edited)
        with pytest.raises(
            DataError, match=r"train\.tsv: .* it was changed while it was read; run the stage"
        ):
            run(given, job_for(tmp_path / "made"), tokenizer=language_model)
    assert not (tmp_path / "made").exists()
    for name in ("made", "undisturbed"):
        run(given, job_for(tmp_path / name), tokenizer=language_model)
        assert read_manifest(tmp_path / name)["source_files"][str(train)] == file_digest(train)
    assert read_sums(tmp_path / "made") == read_sums(tmp_path / "undisturbed")


@pytest.mark.parametrize(("task", "label", "found"), [
    ("classification", "x", "only 'x'"),
    ("multi_label", "", "none"),
])  # fmt: skip
def test_a_training_split_without_classes_to_tell(
    language_model: Path, workspace: Workspace, write: Callable[..., Path], task: str, label: str, found: str
) -> None:
    file = write(f"text\tlabel\nfine\t{label}\ngood\t{label}\n", "train.tsv")
    source = {"source": "table", "text": "text", "label": "label", "separator": ",", "train": str(file)}
    given = {"sources": [source], "task": task, "max_length": 32}
    with pytest.raises(
        DataError, match=rf"train\.tsv: expected two classes or more, found {found}; get data"
    ):
        run(PreprocessSettings.model_validate(given), workspace, tokenizer=language_model)


def test_classes_without_training_examples_are_told(
    language_model: Path, workspace: Workspace, write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    file = write("sentence\tlabel\nfine\t1\ngood\t1\n", "train.tsv")
    run(settings(file.parent), workspace, tokenizer=language_model)
    assert "has no example of some classes" in caplog.text


def test_parts_with_other_labels_are_named(
    sst2: Path, language_model: Path, workspace: Workspace, write: Callable[..., Path]
) -> None:
    file = write("text\tlabel\nfine\t2\ngood\t3\n", "train.tsv")
    table = {"source": "table", "text": "text", "label": "label", "train": str(file)}
    sources = [*settings(sst2).sources, table]
    both = PreprocessSettings.model_validate({**settings(sst2).model_dump(), "sources": sources})
    with pytest.raises(DataError, match=r"found '0' in 'glue SST-2 .*' but not in 'table .*train\.tsv'"):
        run(both, workspace, tokenizer=language_model)


def test_shares_of_one_file_become_splits(
    language_model: Path, workspace: Workspace, write: Callable[..., Path]
) -> None:
    rows = "".join(f"film {number}\t{number % 2}\n" for number in range(40))
    file = write(f"text\tlabel\n{rows}", "films.tsv")
    source = {"source": "table", "text": "text", "label": "label", "path": str(file)}
    shares = {"validation": 0.1, "test": 0.2}
    given = {"sources": [source | shares], "task": "classification", "max_length": 32}
    run(PreprocessSettings.model_validate(given), workspace, tokenizer=language_model)
    manifest = read_manifest(workspace.output)
    sizes = {split: facts["rows"] for split, facts in manifest["splits"].items()}
    assert sizes == {"train": 28, "validation": 4, "test": 8}
    ids = [name for split in sizes for name in read_split(workspace.output, split)["id"].to_pylist()]
    assert sorted(ids) == sorted(f"train:{line}" for line in range(2, 42))
    assert labelled_splits(workspace.output) == ["validation", "test"]


def test_missing_files_are_named(tmp_path: Path, language_model: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"train\.tsv"):
        run(settings(tmp_path), workspace, tokenizer=language_model)
    assert not workspace.output.exists()
