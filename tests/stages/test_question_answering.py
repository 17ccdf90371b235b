"""Question answering from files to a distilled student, stage by stage."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.errors import ModelError
from kdpipe.models.creation import train_wordpiece
from kdpipe.models.loading import load_model
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.preprocess import PreprocessSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages import cache_teacher, distill, evaluate, finetune, preprocess
from tests.stages.conftest import job_for
from tests.tolerance import rounding

SIGNALS = ("logits", *(f"hidden_states.{state}" for state in (0, 2, 4)))
TRAINING = {"per_device_train_batch_size": 16, "learning_rate": 3e-3, "num_train_epochs": 1, "bf16": False}
LOSSES = [
    {"loss": "kl", "temperature": 2, "weight": 0.5},
    {"loss": "hard", "weight": 0.5},
    {"loss": "hidden_mse", "layers": "every:2"},
]


SCORES = ("scores", "nbest", "exact_match", "f1")


def values(folder: Path, name: str) -> list[float]:
    return [row["value"] for row in read_parquet(folder / "history.parquet") if row["name"] == name]


def encode(squad: Path, tokenizer: Path, folder: Path) -> Path:
    given = {"sources": [{"source": "squad", "path": str(squad)}], "task": "question_answering"}
    settings = PreprocessSettings.model_validate({**given, "max_length": 40, "stride": 8})
    preprocess.run(settings, job_for(folder), tokenizer=tokenizer)
    return folder


def test_from_files_to_a_student(squad: Path, language_model: Path, tmp_path: Path) -> None:
    data, teacher = encode(squad, language_model, tmp_path / "data"), tmp_path / "teacher"
    given: dict[str, Any] = {"dataset": "d", "training": {**TRAINING, "eval_strategy": "epoch"}}
    finetuning = FinetuneSettings.model_validate({**given, "model": "m"})
    finetune.run(finetuning, job_for(teacher), model=language_model, data=[data])
    assert type(load_model(teacher)).__name__ == "BertForQuestionAnswering"
    assert values(teacher, "hard")[-1] < values(teacher, "hard")[0]

    evaluate.run(EvaluateSettings(), job_for(tmp_path / "scores"), model=teacher, data=data)
    metrics = {row["metric"]: row["value"] for row in read_parquet(tmp_path / "scores" / "metrics.parquet")}
    assert [metrics["f1"]] == values(teacher, "eval_f1")
    predictions = read_parquet(tmp_path / "scores" / "predictions.parquet")
    assert list(predictions[0]) == ["id", "prediction", "label", *SCORES, "split"]
    assert [row["id"] for row in predictions] == [f"q{number}" for number in range(32)]

    wanted = CacheTeacherSettings(
        signals=SIGNALS,
        precision="float32",
        bf16=False,
    )
    cache_teacher.run(wanted, job_for(tmp_path / "cache"), teacher=teacher, data=data)
    settings = DistillSettings.model_validate({**given, "teacher": "t", "student": "s", "losses": LOSSES})
    places = {"teacher": [teacher], "student": language_model, "data": [data]}
    distill.run(settings, job_for(tmp_path / "online"), **places)
    distill.run(settings, job_for(tmp_path / "cached"), **places, knowledge=[tmp_path / "cache"])
    for name in ("kl", "hard", "hidden_mse", "loss", "eval_f1"):
        online = values(tmp_path / "online", name)
        assert online
        assert values(tmp_path / "cached", name) == pytest.approx(online, rel=rounding(), abs=rounding())
    rows = read_manifest(data)["splits"]["train"]["rows"]
    assert read_manifest(tmp_path / "cached")["examples_seen"] == rows


def test_a_teacher_that_reads_other_tokens_is_refused(
    reader: Path, question_data: Path, tmp_path: Path, workspace: Workspace
) -> None:
    teacher = shutil.copytree(reader, tmp_path / "teacher")
    train_wordpiece(lambda: ["quite other words"], vocab_size=60, max_length=64).save_pretrained(teacher)
    given = {"teacher": "t", "student": "s", "dataset": "d", "losses": LOSSES[:1], "training": TRAINING}
    places = {
        "teacher": [teacher],
        "student": reader,
        "data": [question_data],
        "knowledge": [tmp_path / "cache"],
    }
    with pytest.raises(ModelError, match="different tokenizers"):
        distill.run(DistillSettings.model_validate(given), workspace, **places)
