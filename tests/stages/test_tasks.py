"""Each task through the stages, with a family each: train a teacher, score it, cache it, distil a student."""

import math
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from kdpipe.artifacts.parquet import read_parquet
from kdpipe.evaluation.scoring import task_of
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.create import CreateSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.stages import cache_teacher, create, distill, evaluate, finetune
from tests.stages.conftest import job_for
from tests.tolerance import rounding

SIGNALS = ("logits", *(f"hidden_states.{state}" for state in (0, 2)))
TRAINING = {"num_train_epochs": 3, "per_device_train_batch_size": 8, "learning_rate": 3e-3, "bf16": False}
LOSSES: list[dict[str, Any]] = [
    {"loss": "soft_cross_entropy", "temperature": 2},
    {"loss": "hard", "weight": 0.5},
    {"loss": "hidden_mse", "layers": [[0, 0], [2, 2]]},
]
# Metrics that only tokens with labels have.
LABELLED: list[dict[str, Any]] = [{"loss": "cosine", "positions": "masked"}]
BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
DISTILBERT = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
T5 = {"d_model": 16, "num_layers": 2, "num_heads": 2, "d_kv": 8, "d_ff": 32}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2}
# The dataset of each task, the model for it, and its metrics.
CASES = {
    "task_data": ({"family": "distilbert", **DISTILBERT}, ["accuracy", "f1"]),
    "topic_data": ({"family": "roberta", **BERT}, ["f1_micro", "f1_macro", "accuracy"]),
    "number_data": ({"family": "enct5", **T5}, ["pearson", "spearman", "squared_error"]),
    "ner_data": (
        {"family": "bigru", "hidden_size": 16, "num_hidden_layers": 2},
        ["f1", "precision", "recall", "accuracy"],
    ),
    "question_data": ({"family": "electra", **BERT, "embedding_size": 8}, ["f1", "exact_match"]),
    "text_data": ({"family": "gpt2", **GPT2}, ["perplexity", "cross_entropy"]),
}


@pytest.mark.parametrize(
    "task",
    ["task_data", *(pytest.param(task, marks=pytest.mark.slow) for task in CASES if task != "task_data")],
)
def test_a_task_from_teacher_to_student(
    task: str, language_model: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    architecture, metrics = CASES[task]
    data, body, teacher = request.getfixturevalue(task), tmp_path / "body", tmp_path / "teacher"
    creation = CreateSettings.model_validate({"architecture": architecture, "tokenizer": "t"})
    create.run(creation, job_for(body), tokenizer=language_model)
    settings = FinetuneSettings.model_validate({"model": "m", "dataset": "d", "training": TRAINING})
    finetune.run(settings, job_for(teacher), model=body, data=[data])
    learned = values(teacher, "hard")
    assert mean(learned[-10:]) < mean(learned[:10])

    students = {"online": distilled(tmp_path / "online", teacher, body, data)}
    if task != "text_data":
        knowledge = tmp_path / "knowledge"
        cache = CacheTeacherSettings(signals=SIGNALS, precision="float32", bf16=False)
        cache_teacher.run(cache, job_for(knowledge), teacher=teacher, data=data)
        students["cached"] = distilled(tmp_path / "cached", teacher, body, data, knowledge)
        curves = [values(student, "loss") for student in students.values()]
        assert curves[0] == pytest.approx(curves[1], rel=rounding())
    losses = [*LOSSES, {**LOSSES[0], "run": "counterfactual"}]
    interchange = {"alignment": "full", "positions": "scattered"}
    more = {"losses": losses, "interchange": interchange}
    students["intervened"] = distilled(tmp_path / "intervened", teacher, body, data, **more)
    runs = [values(students["intervened"], f"soft_cross_entropy{run}") for run in ("", "_counterfactual")]
    assert runs[0] != runs[1]
    assert len(runs[0]) == len(runs[1])
    for model in (teacher, *students.values()):
        assert list(scores(model, data))[: len(metrics)] == metrics


def distilled(
    folder: Path, teacher: Path, student: Path, data: Path, knowledge: Path | None = None, **more: Any
) -> Path:
    """Distil a student into a folder, and return it."""
    losses = [*LOSSES, *(LABELLED if task_of(data).positions == "labelled" else [])]
    given = {"teacher": "t", "student": "s", "dataset": "d", "losses": losses, "training": TRAINING}
    settings = DistillSettings.model_validate(given | more)
    stored = [knowledge] if knowledge else None
    distill.run(settings, job_for(folder), teacher=[teacher], student=student, data=[data], knowledge=stored)
    return folder


def scores(model: Path, data: Path) -> dict[str, float]:
    """Return the metrics of a model on the validation split, in their order."""
    folder = model.with_name(f"{model.name}-scores")
    evaluate.run(EvaluateSettings(), job_for(folder), model=model, data=data)
    rows = [row for row in read_parquet(folder / "metrics.parquet") if row["split"] == "validation"]
    assert all(math.isfinite(row["value"]) for row in rows)
    return {row["metric"]: row["value"] for row in rows}


def values(folder: Path, name: str) -> list[float]:
    """Return what a training logged by some name."""
    return [row["value"] for row in read_parquet(folder / "history.parquet") if row["name"] == name]
