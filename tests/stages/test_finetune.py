"""Fine-tuning leaves a task model, its history and what it saw."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import SUMS
from kdpipe.errors import StoppedError
from kdpipe.models.loading import load_model
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.finetune import run
from tests.stages.conftest import job_for

TRAINING = {"num_train_epochs": 1, "per_device_train_batch_size": 16, "learning_rate": 1e-3}


def test_a_classifier_is_made_of_a_language_model(
    language_model: Path, task_data: Path, workspace: Workspace
) -> None:
    settings = FinetuneSettings.model_validate({"model": "base", "dataset": "task", "training": TRAINING})
    run(settings, workspace, model=language_model, data=[task_data])
    model = load_model(workspace.output)
    assert type(model).__name__ == "BertForSequenceClassification"
    assert model.config.id2label == {0: "0", 1: "1"}
    names = {row["name"] for row in read_parquet(workspace.output / "history.parquet")}
    assert {"loss", "hard", "learning_rate"} <= names
    manifest = read_manifest(workspace.output)
    assert [manifest[name] for name in ("examples_seen", "forwards", "backwards")] == [96, 96, 96]


def test_text_is_masked_and_evaluated_during_training(
    language_model: Path, text_data: Path, workspace: Workspace
) -> None:
    training = {**TRAINING, "eval_strategy": "epoch"}
    given = {"model": "base", "dataset": "text", "training": training, "masking": {"smoothing": 0}}
    run(FinetuneSettings.model_validate(given), workspace, model=language_model, data=[text_data])
    rows = read_parquet(workspace.output / "history.parquet")
    assert [row["name"] for row in rows if row["name"].startswith("eval")] == [
        "eval_cross_entropy",
        "eval_perplexity",
    ]
    manifest = read_manifest(workspace.output)
    assert 0.14 < manifest["targets_seen"] / manifest["tokens_seen"] < 0.18


BEST = {
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "load_best_model_at_end": True,
    "metric_for_best_model": "cross_entropy",
    "greater_is_better": False,
}


@pytest.mark.parametrize("options", [{}, BEST], ids=["last", "best"])
def test_a_language_model_goes_on_although_its_tied_weights_are_stored_once(
    options: dict[str, Any], language_model: Path, text_data: Path, tmp_path: Path
) -> None:
    training = {"num_train_epochs": 2, "per_device_train_batch_size": 32, "bf16": False, **options}
    settings = FinetuneSettings(model="m", dataset="d", training=training)

    def finetune(name: str, minutes: float | None = None) -> bytes:
        run(
            settings,
            replace(job_for(tmp_path / name), minutes=minutes),
            model=language_model,
            data=[text_data],
        )
        return (tmp_path / name / SUMS).read_bytes()

    with pytest.raises(StoppedError, match="after step 1 of"):
        finetune("stopped", minutes=0)
    assert finetune("stopped") == finetune("undisturbed")
