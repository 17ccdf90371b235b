"""Training splits that a model makes: copies of examples, and labels."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import read_sums, write_sums
from kdpipe.augmentation.masked_lm import with_copies
from kdpipe.data.encoded import labelled_splits, read_description
from kdpipe.errors import DataError
from kdpipe.models.loading import Head, load_model, load_tokenizer, load_with_head, save_model
from kdpipe.plan.stages.augment import AugmentSettings
from kdpipe.plan.stages.preprocess import PreprocessSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages import augment, preprocess
from tests.conftest import sentences
from tests.encoded import read_split
from tests.stages.conftest import job_for

COPIES = {"method": "masked_lm", "options": {"probability": 0.5, "candidates": 5}, "copies": 3}


def dataset(source: dict[str, Any], task: str = "classification", **more: Any) -> PreprocessSettings:
    given = {"sources": [source], "task": task, "max_length": 32, **more}
    return PreprocessSettings.model_validate(given)


def glue(path: Path, **more: Any) -> PreprocessSettings:
    return dataset({"source": "glue", "name": "SST-2", "path": str(path)}, **more)


def copied(path: Path, folder: Path, model: Path, **more: Any) -> Workspace:
    """Let a model make copies of SST-2."""
    job = job_for(folder)
    augment.run(
        AugmentSettings.model_validate({"copies": COPIES}), job, dataset=glue(path, **more), model=model
    )
    return job


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "train.parquet").to_pylist()
    return rows


def test_copies_follow_their_originals(sst2: Path, language_model: Path, tmp_path: Path) -> None:
    made = copied(sst2, tmp_path / "made", language_model).output
    rows, manifest = rows_of(made), read_manifest(made)
    originals = [row for row in rows if "+" not in row["id"]]
    assert [row["text"] for row in originals] == [
        line.split("\t")[0] for line in (sst2 / "train.tsv").read_text().splitlines()[1:]
    ]
    labels = {row["id"]: row["label"] for row in originals}
    assert all(row["label"] == labels[row["id"].partition("+")[0]] for row in rows)
    assert len({row["id"] for row in rows}) == len(rows)
    assert json.loads((made / "labels.json").read_text()) == ["0", "1"]
    assert (manifest["examples"], manifest["rows"]) == (96, len(rows))
    assert manifest["copies"] + manifest.get("left_out", 0) == 3 * 96
    assert len(manifest["source_files"]) == 2


def test_the_same_seed_gives_the_same_bytes(sst2: Path, language_model: Path, tmp_path: Path) -> None:
    sums = [
        read_sums(copied(sst2, tmp_path / name, language_model, seed=seed).output)["train.parquet"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert sums[0] == sums[1] != sums[2]


def test_a_stage_that_was_killed_goes_on(
    sst2: Path, language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augment, "COPIED", 40)
    whole = copied(sst2, tmp_path / "whole", language_model).output
    calls = []

    def killed(examples: Any, first: int, **options: Any) -> Any:
        calls.append(first)
        if first == 40 and len(calls) == 2:
            raise KeyboardInterrupt
        return with_copies(examples, first, **options)

    monkeypatch.setattr(augment, "with_copies", killed)
    with pytest.raises(KeyboardInterrupt):
        copied(sst2, tmp_path / "again", language_model)
    again = copied(sst2, tmp_path / "again", language_model).output
    assert calls == [0, 40, 40, 80]
    assert rows_of(again) == rows_of(whole)
    assert read_manifest(again)["copies"] == read_manifest(whole)["copies"]


@pytest.mark.parametrize("labels", [None, "none"])
def test_copies_are_encoded(sst2: Path, language_model: Path, tmp_path: Path, labels: str | None) -> None:
    made = copied(sst2, tmp_path / "made", language_model, labels=labels).output
    job = job_for(tmp_path / "data")
    settings = glue(sst2, copied=True, labels=labels)
    preprocess.run(settings, job, tokenizer=language_model, augmented=[made])
    splits = read_description(job.output)["splits"]
    assert splits["train"]["rows"] == len(rows_of(made))
    assert splits["validation"]["rows"] == 40
    assert ("labels" in splits["train"]["columns"]) == (labels is None)
    assert labelled_splits(job.output) == ["validation"]
    assert read_split(job.output, "train")["id"].to_pylist() == [row["id"] for row in rows_of(made)]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file of 60 texts."""
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(sentences(60, seed=21)) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def sure(classifier: Path, tmp_path: Path) -> Path:
    """A classifier with large logits, whose classes are called `cold` and `warm`."""
    folder = tmp_path / "sure"
    model: Any = load_model(classifier)
    model.classifier.weight.data *= 40
    model.config.id2label = {0: "cold", 1: "warm"}
    model.config.label2id = {"cold": 0, "warm": 1}
    save_model(model, load_tokenizer(classifier), folder)
    write_sums(folder)
    return folder


def probabilities(model: Path, texts: list[str]) -> np.ndarray:
    """Return the probabilities of the classes of texts, one text at a time."""
    loaded: Any = load_model(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    encoded = [tokenizer(text, return_tensors="pt", truncation=True, max_length=32) for text in texts]
    return np.concatenate([loaded(**one).logits.detach().softmax(-1).numpy() for one in encoded])


def test_text_gets_the_labels_of_a_model(texts: Path, sure: Path, tmp_path: Path) -> None:
    given, labels = texts.read_text().splitlines(), ("cold", "warm")
    expected = probabilities(sure, given)
    limit = float(np.median(expected.max(-1)))
    text = dataset({"source": "text", "path": str(texts), "labels": "none"})
    job = job_for(tmp_path / "made")
    augment.run(AugmentSettings(confidence=limit), job, dataset=text, model=sure)
    rows, manifest = rows_of(job.output), read_manifest(job.output)
    # A processor that is faster in bfloat16 rounds the probabilities.
    clear = np.abs(expected.max(-1) - limit) > 0.05
    found = {row["text"]: row["label"] for row in rows}
    for text_given, row, is_clear in zip(given, expected, clear, strict=True):
        if is_clear and abs(row[0] - row[1]) > 0.05:
            wanted = labels[row.argmax()] if row.max() > limit else None
            assert found.get(text_given) == wanted
    assert 15 < len(rows) < 45
    assert (manifest["labelled"], manifest["dropped"]) == (len(rows), 60 - len(rows))
    assert json.loads((job.output / "labels.json").read_text()) == ["cold", "warm"]

    data = job_for(tmp_path / "data")
    preprocess.run(text.model_copy(update={"labelled": (0,)}), data, tokenizer=sure, augmented=[job.output])
    assert read_description(data.output)["labels"] == ["cold", "warm"]
    assert read_description(data.output)["splits"]["train"]["rows"] == len(rows)


def test_an_unsure_model_labels_nothing(texts: Path, classifier: Path, workspace: Workspace) -> None:
    text = dataset({"source": "text", "path": str(texts), "labels": "none"})
    with pytest.raises(DataError, match=r"sure by 0\.999, found none of 60; give a smaller number"):
        augment.run(AugmentSettings(confidence=0.999), workspace, dataset=text, model=classifier)


def test_other_labels_are_replaced_and_held_out_labels_stay(
    sst2: Path, classifier: Path, tmp_path: Path
) -> None:
    job, data = job_for(tmp_path / "made"), job_for(tmp_path / "data")
    settings = glue(sst2)
    settings = settings.model_copy(update={"sources": ({**settings.sources[0], "labels": "none"},)})
    augment.run(AugmentSettings(), job, dataset=settings, model=classifier)
    rows = rows_of(job.output)
    assert {row["label"] for row in rows} <= {"0", "1"}
    assert len(rows) == 96
    preprocess.run(
        settings.model_copy(update={"labelled": (0,)}), data, tokenizer=classifier, augmented=[job.output]
    )
    assert labelled_splits(data.output) == ["validation"]
    assert read_split(data.output, "train")["labels"].to_pylist() == [int(row["label"]) for row in rows]


@pytest.mark.parametrize(("task", "labels"), [("regression", None), ("multi_label", ("film", "story"))])
def test_numbers_and_several_labels(
    texts: Path, language_model: Path, tmp_path: Path, task: str, labels: tuple[str, ...] | None
) -> None:
    model: Any = load_with_head(language_model, Head(task, labels), seed=7)
    tokenizer = load_tokenizer(language_model)
    model.classifier.weight.data *= 40
    encoded = [tokenizer(line, return_tensors="pt") for line in texts.read_text().splitlines()]
    logits = torch.cat([model.eval()(**one).logits.detach() for one in encoded])
    model.classifier.bias.data -= logits.median(0).values
    save_model(model, tokenizer, tmp_path / "model")
    write_sums(tmp_path / "model")
    text = dataset({"source": "text", "path": str(texts), "labels": "none"}, task)
    job, data = job_for(tmp_path / "made"), job_for(tmp_path / "data")
    augment.run(AugmentSettings(eval_batch_size=7), job, dataset=text, model=tmp_path / "model")
    preprocess.run(
        text.model_copy(update={"labelled": (0,)}), data, tokenizer=language_model, augmented=[job.output]
    )
    found = [row["label"] for row in rows_of(job.output)]
    read = read_split(data.output, "train")["labels"].to_pylist()
    if labels:
        assert read == [[int(name in names) for name in labels] for names in found]
        assert len({tuple(names) for names in found}) > 1
    else:
        assert read == pytest.approx(found, rel=1e-6)
        assert len(set(found)) > 10


def test_pairs_are_labelled_and_copied(
    classifier: Path, language_model: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    rows = [f"{a}\t{b}" for a, b in zip(sentences(30, 31), sentences(30, 32), strict=True)]
    table = {"source": "table", "text": "a", "text_pair": "b", "labels": "none"}
    path = write("\n".join(["a\tb", *rows]) + "\n", "pairs.tsv")
    pairs = dataset({**table, "train": str(path)})
    first, second, data = (job_for(tmp_path / name) for name in ("first", "second", "data"))
    augment.run(AugmentSettings(), first, dataset=pairs, model=classifier)
    assert [f"{row['text']}\t{row['text_pair']}" for row in rows_of(first.output)] == rows
    labelled = pairs.model_copy(update={"labelled": (0,)})
    copies = AugmentSettings.model_validate({"copies": COPIES})
    augment.run(copies, second, dataset=labelled, model=language_model, augmented=[first.output])
    assert {row["label"] for row in rows_of(second.output)} == {row["label"] for row in rows_of(first.output)}
    whole = labelled.model_copy(update={"copied": True})
    preprocess.run(whole, data, tokenizer=language_model, augmented=[second.output])
    assert read_description(data.output)["splits"]["train"]["rows"] == len(rows_of(second.output)) > 60


def test_a_change_of_the_texts_is_seen(texts: Path, classifier: Path, workspace: Workspace) -> None:
    text = dataset({"source": "text", "path": str(texts), "labels": "none"})
    job = replace(workspace, sources=dict)
    augment.run(AugmentSettings(), job, dataset=text, model=classifier)
    assert read_manifest(job.output)["source_files"].keys() == {str(texts)}
