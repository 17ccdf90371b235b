"""Each task through the stages: train a teacher, score it, cache it, distil a student from it."""

from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.tables import read_rows
from kdpipe.config.settings.distill import DistillSettings
from kdpipe.config.settings.finetune import FinetuneSettings
from kdpipe.config.settings.jobs import CacheTeacherSettings, EvaluateSettings
from kdpipe.stages import cache_teacher, distill, evaluate, finetune
from tests.stages.conftest import job_for

TRAINING = {"num_train_epochs": 12, "per_device_train_batch_size": 8, "learning_rate": 3e-3, "bf16": False}
LOSSES: list[dict[str, Any]] = [
    {"loss": "soft_cross_entropy", "temperature": 2},
    {"loss": "hard", "weight": 0.5},
    {"loss": "hidden_mse", "layers": [[0, 0], [4, 4]]},
]


@pytest.mark.parametrize(("task", "least"), [("ner_data", 0.9)])
def test_a_task_from_teacher_to_student(
    task: str, least: float, language_model: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data = request.getfixturevalue(task)
    teacher = tmp_path / "teacher"
    settings = FinetuneSettings.model_validate({"model": "m", "dataset": "d", "training": TRAINING})
    finetune.run(settings, job_for(teacher), model=language_model, data=data)
    assert first_metric(teacher, data, tmp_path / "teacher-scores") > least

    knowledge = tmp_path / "knowledge"
    cache = CacheTeacherSettings(logits=True, hidden_states=(0, 4), precision="float32", bf16=False)
    cache_teacher.run(cache, job_for(knowledge), teacher=teacher, data=data)
    given = {"teacher": "t", "student": "s", "dataset": "d", "losses": LOSSES, "training": TRAINING}
    curves = []
    for name, cached in (("cached", knowledge), ("online", None)):
        student = tmp_path / name
        distill.run(
            DistillSettings.model_validate(given),
            job_for(student),
            teacher=teacher,
            student=language_model,
            data=data,
            knowledge=cached,
        )
        rows = read_rows(student / "history.parquet")
        curves.append([row["value"] for row in rows if row["name"] == "loss"])
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)
    assert first_metric(tmp_path / "cached", data, tmp_path / "scores") > least


def first_metric(model: Path, data: Path, folder: Path) -> float:
    evaluate.run(EvaluateSettings(), job_for(folder), model=model, data=data)
    value: float = read_rows(folder / "metrics.parquet")[0]["value"]
    return value
