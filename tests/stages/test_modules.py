"""Stages that compare outputs of modules: cached as online, and wrong names told before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.errors import ModelError
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.schedule import ScheduleSettings
from kdpipe.signals.capture import Teacher
from kdpipe.stages import cache_teacher, distill, schedule
from kdpipe.training.trainer import LearningTrainer
from tests.stages.conftest import job_for, scored
from tests.tolerance import rounding

TRAINING = {"num_train_epochs": 2, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "bf16": False}
PAIRS = [["encoder.layer.3.intermediate", "encoder.layer.1.output"], ["encoder.layer.0", "embeddings"]]
LOSSES = [{"loss": "hidden_mse", "modules": PAIRS, "projection": {"kind": "linear"}}, {"loss": "mmd",
          "modules": PAIRS}]  # fmt: skip


def distilled(folder: Path, model: Path, data: Path, losses: Any, **more: Any) -> Path:
    given = {"teacher": "t", "student": "s", "dataset": "d", "losses": losses, "training": TRAINING}
    settings = DistillSettings.model_validate(given)
    distill.run(settings, job_for(folder), teacher=[model], student=model, data=[data], **more)
    return folder


def cached(folder: Path, model: Path, data: Path, *signals: str) -> Path:
    wanted = CacheTeacherSettings(signals=signals, precision="float32", bf16=False)
    cache_teacher.run(wanted, job_for(folder), teacher=model, data=data)
    return folder


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained, and no teacher runs."""

    def fail(*arguments: Any, **options: Any) -> None:
        raise AssertionError("something ran")

    monkeypatch.setattr(LearningTrainer, "train", fail)
    monkeypatch.setattr(Teacher, "__call__", fail)


def test_modules_of_a_cached_teacher_teach_as_those_of_one_beside(
    classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    online = distilled(tmp_path / "online", classifier, task_data, LOSSES)
    cache = cached(tmp_path / "cache", classifier, task_data, *(f"module.{name}" for name, _ in PAIRS))
    made = distilled(tmp_path / "cached", classifier, task_data, LOSSES, knowledge=[cache])
    theirs, ours = (read_parquet(folder / "history.parquet") for folder in (online, made))
    assert {"hidden_mse", "mmd"} < {row["name"] for row in ours}
    for row, other in zip(ours, theirs, strict=True):
        assert row["value"] == pytest.approx(other["value"], rel=rounding(), abs=rounding())
    assert read_manifest(made)["pairs"] == {"hidden_mse": PAIRS, "mmd": PAIRS}


@pytest.mark.usefixtures("never")
def test_a_teacher_is_not_run_for_a_module_that_it_has_not(
    classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"'encoder\.layr\.1' is no module of the BertModel; did you mean"):
        cached(tmp_path / "cache", classifier, task_data, "module.encoder.layr.1")
    assert not (tmp_path / "cache").exists()


def test_nothing_is_trained_for_modules_that_cannot_be_compared(
    classifier: Path, task_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cached(tmp_path / "cache", classifier, task_data, "module.encoder.layer.0")
    monkeypatch.setattr(LearningTrainer, "train", lambda *_: pytest.fail("a training began"))

    def losses(theirs: str, ours: str) -> list[dict[str, Any]]:
        return [{"loss": "hidden_mse", "modules": [[theirs, ours]]}]

    unknown = losses("encoder.layer.0", "encoder.layr.1")
    for more in ({}, {"knowledge": [cache]}):
        with pytest.raises(ModelError, match=r"'encoder\.layr\.1' is no module of the BertModel"):
            distilled(tmp_path / "student", classifier, task_data, unknown, **more)
        wider = losses("encoder.layer.0", "encoder.layer.0.intermediate")
        with pytest.raises(ModelError, match="rows are 16 wide, the student's 32; give a `projection`"):
            distilled(tmp_path / "student", classifier, task_data, wider, **more)
    given = {"teacher": "t", "dataset": "d", "target": 0.9, "sparsities": [0.5], "losses": unknown}
    settings = ScheduleSettings.model_validate(given | {"training": TRAINING})
    places = {"teacher": classifier, "data": task_data, "importance": [scored(classifier, task_data)]}
    with pytest.raises(ModelError, match=r"'encoder\.layr\.1' is no module of the BertModel"):
        schedule.run(settings, job_for(tmp_path / "assistant"), **places)
