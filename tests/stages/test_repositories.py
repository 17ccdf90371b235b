"""Repositories of JSON and CSV, from their files to scores."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.parquet import read_parquet
from kdpipe.data.encoded import read_description
from kdpipe.plan.build import build_graph
from kdpipe.plan.jobs import job_of
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.preprocess import preprocess_settings
from kdpipe.stages import evaluate, fetch, finetune, preprocess
from tests.stages.conftest import job_for

TRAINING = {"max_steps": 2, "per_device_train_batch_size": 8, "bf16": False}
CLASSES = "{class_label: {names: {'0': dull, '1': warm}}}"
TAGS = "{class_label: {names: {'0': O, '1': B-PER, '2': I-PER}}}"
Rows = list[dict[str, Any]]


def reviews() -> Rows:
    return [{"text": f"the film is {word}", "label": label} for label, word in enumerate(("bad", "good"))] * 8


def sentences() -> Rows:
    return [{"tokens": ["the", "film", "is", "good"], "ner_tags": [0, 1, 2, 0]}] * 12


def questions() -> Rows:
    answers: Rows = [{"text": ["film"], "answer_start": [4]}, {"text": [], "answer_start": []}]
    return [
        {"id": f"q{n}", "context": "the film is good", "question": "what is good", "answers": answers[n % 2]}
        for n in range(12)
    ]


# Rows, what the card declares of them, and what the config says of the dataset.
CASES: dict[str, tuple[Callable[[], Rows], str, dict[str, Any]]] = {
    "classes": (
        reviews,
        f"[{{name: text, dtype: string}}, {{name: label, dtype: {CLASSES}}}]",
        {"source": "table", "task": "classification", "text": "text", "label": "label"},
    ),
    "tags": (
        sentences,
        f"[{{name: tokens, list: string}}, {{name: ner_tags, list: {TAGS}}}]",
        {"source": "conll"},
    ),
    "questions": (questions, "", {"source": "squad", "max_length": 64, "stride": 0}),
}
LABELS = {"classes": ["dull", "warm"], "tags": ["O", "B-PER", "I-PER"], "questions": None}


def write_repository(folder: Path, case: str, ending: str) -> None:
    rows, features, _ = CASES[case]
    folder.mkdir()
    names = {split: f"{split}.{ending}" for split in ("train", "validation")}
    files = "".join(f"  - {{split: {split}, path: {name}}}\n" for split, name in names.items())
    declared = f"dataset_info:\n  features: {features}\n" if features else ""
    (folder / "README.md").write_text(
        f"---\n{declared}configs:\n- config_name: default\n  data_files:\n{files}---\n"
    )
    for name in names.values():
        if ending == "csv":
            with (folder / name).open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows()[0]))
                writer.writeheader()
                writer.writerows(rows())
        else:
            (folder / name).write_text("\n".join(map(json.dumps, rows())))


@pytest.mark.parametrize(("case", "ending"), [
    ("classes", "json"), ("classes", "csv"), ("tags", "json"), ("questions", "json"),
])  # fmt: skip
def test_a_repository_runs_to_scores(language_model: Path, tmp_path: Path, case: str, ending: str) -> None:
    write_repository(tmp_path / "repository", case, ending)
    datasets = {"a": {**CASES[case][2], "hub": "./repository"}}
    models = {"base": {"load": {"path": str(language_model)}}}
    graph = build_graph({"data_dir": str(tmp_path), "datasets": datasets, "models": models})
    (stored,) = graph.fetches
    fetch.run(job_of(graph, "fetch", stored).settings["settings"], job_for(tmp_path / "hub" / stored))
    data = tmp_path / "data"
    preprocess.run(preprocess_settings(graph, "a"), job_for(data), tokenizer=language_model)
    assert read_description(data)["labels"] == LABELS[case]
    settings = FinetuneSettings.model_validate({"model": "m", "dataset": "a", "training": TRAINING})
    finetune.run(settings, job_for(tmp_path / "model"), model=language_model, data=[data])
    evaluate.run(EvaluateSettings(), job_for(tmp_path / "scores"), model=tmp_path / "model", data=data)
    scores = read_parquet(tmp_path / "scores" / "metrics.parquet")
    assert {row["split"] for row in scores} == {"validation"}
    assert all(0 <= row["value"] <= 100 for row in scores)
