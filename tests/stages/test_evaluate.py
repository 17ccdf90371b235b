"""Every held-out split with labels is scored."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from kdpipe.artifacts.parquet import read_parquet
from kdpipe.errors import DataError, ModelError
from kdpipe.models.loading import Head, load_tokenizer, load_with_head, save_model
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.evaluate import run
from tests.encoded import read_split, write_split


def test_metrics_and_predictions_are_written(classifier: Path, task_data: Path, workspace: Workspace) -> None:
    run(EvaluateSettings(), workspace, model=classifier, data=task_data)
    metrics = {
        (row["split"], row["metric"]): row for row in read_parquet(workspace.output / "metrics.parquet")
    }
    assert set(metrics) == {("validation", "accuracy"), ("validation", "f1")}
    predictions = read_parquet(workspace.output / "predictions.parquet")
    right = sum(row["prediction"] == row["label"] for row in predictions)
    assert metrics["validation", "accuracy"]["value"] == right / len(predictions)
    assert metrics["validation", "accuracy"]["n"] == 40
    there = {row[side] for row in predictions for side in ("label", "prediction")}
    assert {row["classes"] for row in metrics.values()} == {len(there)}


@pytest.mark.parametrize("bias", [-100.0, 100.0])
def test_splits_in_which_no_label_applies(
    bias: float, language_model: Path, topic_data: Path, tmp_path: Path, workspace: Workspace
) -> None:
    model = load_with_head(language_model, Head("multi_label", ("film", "story")), seed=1)
    torch.nn.init.constant_(model.classifier.bias, bias)
    save_model(model, load_tokenizer(language_model), tmp_path / "model")
    run(EvaluateSettings(), workspace, model=tmp_path / "model", data=topic_data)
    rows = read_parquet(workspace.output / "predictions.parquet")
    assert {tuple(row["prediction"]) for row in rows} == {("film", "story") if bias > 0 else ()}
    assert {tuple(row["label"]) for row in rows if row["split"] == "plain"} == {()}


def test_metrics_of_examples_that_are_not_there(
    reader: Path, question_data: Path, tmp_path: Path, workspace: Workspace
) -> None:
    data = shutil.copytree(question_data, tmp_path / "data")
    file = data / "validation.examples.parquet"
    table = pq.read_table(file)
    rows = [{**row, "answers": [{"start": 0, "text": "a"}]} for row in table.to_pylist()]
    pq.write_table(table.from_pylist(rows, table.schema), file)
    run(EvaluateSettings(metrics=("has_answer_f1",)), workspace, model=reader, data=data)
    with pytest.raises(DataError, match="metrics: no_answer_accuracy is not defined on"):
        run(EvaluateSettings(metrics=("f1", "no_answer_accuracy")), workspace, model=reader, data=data)


def test_a_model_without_the_head_is_refused(
    language_model: Path, task_data: Path, workspace: Workspace
) -> None:
    with pytest.raises(ModelError, match="has no head for classification"):
        run(EvaluateSettings(), workspace, model=language_model, data=task_data)


def test_a_dataset_without_held_out_labels_is_refused(
    classifier: Path, task_data: Path, tmp_path: Path, workspace: Workspace
) -> None:
    data = shutil.copytree(task_data, tmp_path / "unlabelled")
    table = read_split(data, "validation").drop_columns(["labels"])
    write_split(data, "validation", table)
    description = json.loads((data / "dataset.json").read_text())
    description["splits"]["validation"]["columns"] = table.column_names
    (data / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(DataError, match="no held-out split with labels"):
        run(EvaluateSettings(), workspace, model=classifier, data=data)
