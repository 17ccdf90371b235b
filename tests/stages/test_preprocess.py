"""Encoding a dataset as its settings say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import file_digest
from kdpipe.config.settings.jobs import PreprocessSettings
from kdpipe.data.encoded import labelled_splits, read_description
from kdpipe.errors import DataError
from kdpipe.job import Job
from kdpipe.stages.preprocess import run


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
def test_rows_copies_and_labels(sst2: Path, language_model: Path, job: Job, options, rows: int) -> None:
    run(settings(sst2, **options), job, tokenizer=language_model)
    splits = read_description(job.output)["splits"]
    assert splits["train"]["rows"] == rows
    assert splits["validation"]["rows"] == 40
    assert ("labels" in splits["train"]["columns"]) == ("labels" not in options)


def test_a_table_without_labels_where_they_are_dropped(
    language_model: Path, job: Job, write: Callable[..., Path]
) -> None:
    train, test = write("text\nfine\n", "a.tsv"), write("text\tlabel\nfine\t1\n", "b.tsv")
    table = {"source": "table", "text": "text", "label": "label", "classes": [0, 1], "train": str(train)}
    given = {
        "sources": [{**table, "splits": {"hard": str(test)}}],
        "task": "classification",
        "max_length": 32,
    }
    run(PreprocessSettings.model_validate({**given, "labels": "none"}), job, tokenizer=language_model)
    assert read_description(job.output)["labels"] == ["0", "1"]
    assert labelled_splits(job.output) == ["hard"]
    with pytest.raises(DataError, match=r"a\.tsv:1: expected a column 'label'"):
        run(PreprocessSettings.model_validate(given), job, tokenizer=language_model)


def test_what_was_found_is_told_in_the_log(
    sst2: Path, language_model: Path, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run(settings(sst2), job, tokenizer=language_model)
    rows = (sst2 / "train.tsv").read_text().splitlines()
    assert "train: 96 examples, 96 rows, " in caplog.text
    cold, warm = (sum(line.endswith(f"\t{label}") for line in rows) for label in "01")
    assert f"train: 0: {cold}, 1: {warm}\n" in caplog.text


def test_the_manifest_names_the_files_that_were_read(sst2: Path, language_model: Path, job: Job) -> None:
    run(settings(sst2), job, tokenizer=language_model)
    files = read_manifest(job.output)["source_files"]
    assert files == {str(path): file_digest(path) for path in sst2.iterdir()}


def test_parts_with_other_labels_are_named(
    sst2: Path, language_model: Path, job: Job, write: Callable[..., Path]
) -> None:
    file = write("text\tlabel\nfine\t2\n", "train.tsv")
    table = {"source": "table", "text": "text", "label": "label", "train": str(file)}
    sources = [*settings(sst2).sources, table]
    both = PreprocessSettings.model_validate({**settings(sst2).model_dump(), "sources": sources})
    with pytest.raises(DataError, match=r"found '0' in 'glue SST-2 .*' but not in 'table .*train\.tsv'"):
        run(both, job, tokenizer=language_model)


def test_missing_files_are_named(tmp_path: Path, language_model: Path, job: Job) -> None:
    with pytest.raises(DataError, match=r"train\.tsv"):
        run(settings(tmp_path), job, tokenizer=language_model)
    assert not job.output.exists()
