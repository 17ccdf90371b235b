"""Every held-out split with labels is scored."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kdpipe.artifacts.tables import read_rows
from kdpipe.config.settings.jobs import EvaluateSettings
from kdpipe.errors import DataError, ModelError
from kdpipe.job import Job
from kdpipe.stages.evaluate import run


def test_metrics_and_predictions_are_written(classifier: Path, task_data: Path, job: Job) -> None:
    run(EvaluateSettings(), job, model=classifier, data=task_data)
    metrics = {(row["split"], row["metric"]): row for row in read_rows(job.output / "metrics.parquet")}
    assert set(metrics) == {("validation", "accuracy"), ("validation", "f1")}
    predictions = read_rows(job.output / "predictions.parquet")
    right = sum(row["prediction"] == row["label"] for row in predictions)
    assert metrics["validation", "accuracy"]["value"] == right / len(predictions)
    assert metrics["validation", "accuracy"]["n"] == 40


def test_a_model_without_the_head_is_refused(language_model: Path, task_data: Path, job: Job) -> None:
    with pytest.raises(ModelError, match="has no head for classification"):
        run(EvaluateSettings(), job, model=language_model, data=task_data)


def test_a_dataset_without_held_out_labels_is_refused(
    classifier: Path, task_data: Path, tmp_path: Path, job: Job
) -> None:
    data = shutil.copytree(task_data, tmp_path / "unlabelled")
    table = pq.read_table(data / "validation.parquet").drop_columns(["labels"])
    pq.write_table(table, data / "validation.parquet")
    description = json.loads((data / "dataset.json").read_text())
    description["splits"]["validation"]["columns"] = table.column_names
    (data / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(DataError, match="no held-out split with labels"):
        run(EvaluateSettings(), job, model=classifier, data=data)
