"""Exported models are scored and measured as their models are, and run without torch."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kdpipe.anatomy.formats import GRAPH, TOLERANCES, ExportFormat
from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import read_sums, verify
from kdpipe.cards.running import running_lines
from kdpipe.config.settings.measure import LatencySettings
from kdpipe.evaluation import latency
from kdpipe.evaluation.scoring import head_of
from kdpipe.models.creation import create_body, special_tokens
from kdpipe.models.loading import Head, load_tokenizer, load_with_head, save_model
from kdpipe.models.multitask import save_parts
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.plan.stages.export import ExportSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages import evaluate, export, measure
from tests.conftest import CLASSIFICATION, QUESTION_ANSWERING
from tests.models.conftest import scattered
from tests.stages.conftest import ARCHITECTURES, job_for

# A dataset of each task, and a family with a head for it.
CASES = {
    "task_data": "bert",
    "topic_data": "bert",
    "number_data": "enct5",
    "ner_data": "enct5",
    "question_data": "bert",
    "text_data": "gpt2",
}


def exported(model: Path, folder: Path, format: ExportFormat = "onnx") -> Path:
    """Export a model into a folder that is called as the format, and return it."""
    export.run(ExportSettings(format=format), job_for(folder / format), model=model)
    return folder / format


def made(family: str, language_model: Path, head: Head, folder: Path) -> Path:
    """Write a model of a family with a head, whose weights are all different."""
    tokenizer = load_tokenizer(language_model)
    options = {**special_tokens(tokenizer), **ARCHITECTURES[family]}
    save_model(create_body(family, options, len(tokenizer), 3), tokenizer, folder)
    save_model(scattered(load_with_head(folder, head, seed=3)), tokenizer, folder)
    return folder


def metrics(model: Path, data: Path, folder: Path) -> dict[tuple[str, str], float]:
    """Score a model, and return its metrics by split and name."""
    evaluate.run(EvaluateSettings(), job_for(folder), model=model, data=data)
    return {(row["split"], row["metric"]): row["value"] for row in read_parquet(folder / "metrics.parquet")}


@pytest.mark.parametrize(
    "data",
    ["task_data", *(pytest.param(each, marks=pytest.mark.slow) for each in CASES if each != "task_data")],
)
def test_an_exported_model_scores_as_the_model(
    data: str, language_model: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    encoded = request.getfixturevalue(data)
    model = made(CASES[data], language_model, head_of(encoded), tmp_path / "model")
    expected = metrics(model, encoded, tmp_path / "torch")
    found = metrics(exported(model, tmp_path), encoded, tmp_path / "scores")
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_logits_are_in_the_order_of_the_datasets_labels(
    language_model: Path, task_data: Path, tmp_path: Path
) -> None:
    head = head_of(task_data)
    assert head.labels is not None
    turned = Head(head.task, tuple(reversed(head.labels)))
    model = made("bert", language_model, turned, tmp_path / "model")
    expected = metrics(model, task_data, tmp_path / "torch")
    assert metrics(exported(model, tmp_path), task_data, tmp_path / "scores") == pytest.approx(expected)


@pytest.fixture(scope="session")
def plain(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier as it was exported in float32."""
    return exported(classifier, tmp_path_factory.mktemp("plain"))


def test_the_folder_and_its_manifest(plain: Path) -> None:
    check_folder(plain)
    config: dict[str, Any] = json.loads((plain / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx_fp16", "onnx_int8"])
def test_the_folders_of_other_formats(format: ExportFormat, classifier: Path, tmp_path: Path) -> None:
    folder = exported(classifier, tmp_path, format)
    check_folder(folder)
    assert read_manifest(folder)["format"] == format


def check_folder(folder: Path) -> None:
    verify(folder)
    assert {"config.json", GRAPH, "tokenizer.json", "tokenizer_config.json"} == {*read_sums(folder)}
    manifest = read_manifest(folder)
    assert manifest["format"] == folder.name
    assert manifest["differs_by"]["."] < TOLERANCES[manifest["format"]]


@pytest.mark.slow
def test_each_of_several_heads_has_a_graph(language_model: Path, task_data: Path, tmp_path: Path) -> None:
    heads = {task_data.parent.name: head_of(task_data), "questions": QUESTION_ANSWERING}
    parts = {name: scattered(load_with_head(language_model, head, 1)) for name, head in heads.items()}
    (tmp_path / "model").mkdir()
    save_parts(parts, load_tokenizer(language_model), tmp_path / "model")
    folder = exported(tmp_path / "model", tmp_path)
    assert {name for name in read_sums(folder) if name.endswith(GRAPH)} == {
        GRAPH, *(f"heads/{name}/{GRAPH}" for name in heads)
    }  # fmt: skip
    expected = metrics(tmp_path / "model", task_data, tmp_path / "torch")
    assert metrics(folder, task_data, tmp_path / "scores") == pytest.approx(expected)


def test_an_exported_model_is_measured(
    plain: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "WARMUP_SECONDS", 0)
    monkeypatch.setattr(latency, "MOST", 1)
    measure.run(LatencySettings(batch=(1, 2), length=(8,)), workspace, model=plain)
    rows = read_parquet(workspace.output / "measurements.parquet")
    assert [(row["format"], row["batch"], row["length"]) for row in rows] == [("onnx", 1, 8), ("onnx", 2, 8)]
    assert {row["bytes"] for row in rows} == {(plain / GRAPH).stat().st_size}


READ: dict[str, tuple[Head, str]] = {
    "classification": (CLASSIFICATION, "[01]"),
    "regression": (Head("regression"), r"-?\d+\.\d+"),
    "multi_label": (Head("multi_label", ("film", "story")), r"\[.*\]"),
    "token_classification": (Head("token_classification", ("O", "B-X")), r"\[\('.*', '(O|B-X)'\).*\]"),
    "question_answering": (QUESTION_ANSWERING, ".*"),
    "language_modeling": (Head("language_modeling"), ".*"),
}


@pytest.mark.parametrize(
    "task", ["classification", *(pytest.param(name, marks=pytest.mark.slow) for name in [*READ][1:])]
)
def test_the_lines_of_its_card_run_without_torch(task: str, language_model: Path, tmp_path: Path) -> None:
    head, said = READ[task]
    model = made("bert", language_model, head, tmp_path / "model")
    folder = exported(model, tmp_path)
    lines = running_lines(folder, "onnx")
    assert len([line for line in lines if line]) <= 10
    # Nothing but these may be imported.
    blocked = (
        "import sys\nfor name in ('torch', 'transformers', 'kdpipe', 'onnx'): sys.modules[name] = None\n"
    )
    command = [sys.executable, "-c", blocked + "\n".join(lines)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(said, run.stdout.strip())
