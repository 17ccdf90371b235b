"""Distillation, online and cached, on a task and on text."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import write_sums
from kdpipe.errors import KdpipeError, ModelError
from kdpipe.models.creation import train_wordpiece
from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.count_tokens import CountTokensSettings
from kdpipe.plan.stages.create import CreateSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages import cache_teacher, count_tokens, create, distill, extract
from tests.stages.conftest import job_for
from tests.tolerance import rounding

SIGNALS = ("logits", *(f"hidden_states.{state}" for state in (0, 2, 4)))
TRAINING = {"num_train_epochs": 1, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "bf16": False}
# The difference of two nearly equal logarithms has the rounding error of the logarithms.
CANCELLED = rounding(2)
TASK_LOSSES = [{"loss": "kl", "temperature": 2}, {"loss": "hidden_mse", "layers": "spaced", "weight": 3}]


def settings(losses: list[dict[str, Any]], **more: Any) -> DistillSettings:
    given = {"teacher": "t", "student": "s", "dataset": "d", "losses": losses, "training": TRAINING, **more}
    return DistillSettings.model_validate(given)


def losses_of(folder: Path) -> dict[str, list[float]]:
    rows = read_parquet(folder / "history.parquet")
    return {
        name: [row["value"] for row in rows if row["name"] == name] for name in ("loss", "kl", "hidden_mse")
    }


@pytest.fixture
def student(classifier: Path, tmp_path: Path) -> Path:
    """Two blocks of the classifier, without dropout, as runs are compared."""
    extract.run(
        ExtractSettings(model="t", layers="spaced:2"), job_for(tmp_path / "student"), model=classifier
    )
    config = tmp_path / "student" / "config.json"
    config.write_text(config.read_text().replace('_dropout_prob": 0.1', '_dropout_prob": 0.0'))
    write_sums(tmp_path / "student")
    return tmp_path / "student"


def test_cached_and_online_give_the_same_losses(
    classifier: Path, student: Path, task_data: Path, tmp_path: Path
) -> None:
    wanted = CacheTeacherSettings(signals=SIGNALS, precision="float32", bf16=False)
    cache_teacher.run(wanted, job_for(tmp_path / "cache"), teacher=classifier, data=task_data)
    places = {"teacher": [classifier], "student": student, "data": [task_data]}
    distill.run(settings(TASK_LOSSES), job_for(tmp_path / "online"), **places)
    distill.run(settings(TASK_LOSSES), job_for(tmp_path / "cached"), **places, knowledge=[tmp_path / "cache"])
    online, cached = losses_of(tmp_path / "online"), losses_of(tmp_path / "cached")
    assert len(online["loss"]) == 6
    for name, values in online.items():
        assert cached[name] == pytest.approx(values, rel=rounding(), abs=CANCELLED)
    assert read_manifest(tmp_path / "cached")["pairs"] == {"hidden_mse": [[0, 0], [2, 1], [4, 2]]}
    passes = {name: read_manifest(tmp_path / name) for name in ("cache", "cached", "online")}
    assert {name: (one["forwards"], one["backwards"]) for name, one in passes.items()} == {
        "cache": (96, 0),
        "cached": (96, 96),
        "online": (192, 96),
    }


def test_what_heads_do_is_learned_from_a_cache_as_from_a_teacher_beside(
    classifier: Path, student: Path, task_data: Path, tmp_path: Path
) -> None:
    losses = [{"loss": "attention_mse", "layers": "spaced"}, {"loss": "relation", "relation_heads": 4}]
    stored = "attentions.2", "attentions.4", "queries.4", "keys.4", "values.4"
    wanted = CacheTeacherSettings(signals=stored, precision="float32", bf16=False)
    cache_teacher.run(wanted, job_for(tmp_path / "cache"), teacher=classifier, data=task_data)
    places = {"teacher": [classifier], "student": student, "data": [task_data]}
    for name, more in {"online": {}, "cached": {"knowledge": [tmp_path / "cache"]}}.items():
        distill.run(settings(losses), job_for(tmp_path / name), **places, **more)
    online, cached = (read_parquet(tmp_path / name / "history.parquet") for name in ("online", "cached"))
    assert {"attention_mse", "relation"} < {row["name"] for row in online}
    for ours, theirs in zip(cached, online, strict=True):
        assert ours["value"] == pytest.approx(theirs["value"], rel=rounding(), abs=rounding())
    assert read_manifest(tmp_path / "cached")["pairs"]["attention_mse"] == [[2, 1], [4, 2]]


@pytest.mark.parametrize(("first", "second"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_what_reads_a_cache_keeps_the_precision_that_was_chosen_for_it(
    first: str,
    second: str,
    processor: Callable[[str], None],
    classifier: Path,
    student: Path,
    task_data: Path,
    tmp_path: Path,
) -> None:
    """Jobs of a cluster run on different processors, and each job would choose its own precision."""
    training = {name: value for name, value in TRAINING.items() if name != "bf16"}
    wanted = CacheTeacherSettings(signals=SIGNALS, precision="float32")
    processor(first)
    cache_teacher.run(wanted, job_for(tmp_path / "cache"), teacher=classifier, data=task_data)
    places = {"teacher": [classifier], "student": student, "data": [task_data]}
    distill.run(settings(TASK_LOSSES, training=training), job_for(tmp_path / "online"), **places)
    processor(second)
    cached = {**places, "knowledge": [tmp_path / "cache"]}
    distill.run(settings(TASK_LOSSES, training=training), job_for(tmp_path / "cached"), **cached)
    given = settings(TASK_LOSSES, training={**training, "bf16": second == "bfloat16"})
    distill.run(given, job_for(tmp_path / "given"), **cached)
    chosen = {
        name: read_manifest(tmp_path / name)["precision"]["name"] for name in ("cache", "cached", "given")
    }
    assert chosen == {"cache": first, "cached": first, "given": second}
    online, stored = losses_of(tmp_path / "online"), losses_of(tmp_path / "cached")
    # The means over many rows that a precision of few digits rounds either way.
    tolerance = rounding(4, torch.bfloat16) if first == "bfloat16" else rounding()
    for name, values in online.items():
        assert stored[name] == pytest.approx(values, rel=tolerance, abs=CANCELLED)


def test_with_a_cache_the_teachers_weights_are_not_read(
    classifier: Path, student: Path, task_data: Path, tmp_path: Path
) -> None:
    wanted = CacheTeacherSettings(signals=("logits",), bf16=False)
    cache_teacher.run(wanted, job_for(tmp_path / "cache"), teacher=classifier, data=task_data)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_bytes((classifier / "config.json").read_bytes())
    workspace = job_for(tmp_path / "made")
    losses = [{"loss": "soft_cross_entropy"}]
    distill.run(
        settings(losses),
        workspace,
        teacher=[bare],
        student=student,
        data=[task_data],
        knowledge=[tmp_path / "cache"],
    )
    assert (tmp_path / "made" / "model.safetensors").exists()


def test_maps_are_resolved_with_the_teachers_depth(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    maps = [
        {"kinds": ["hidden_states"], "layers": "spaced", "student_depth": 2},
        {"kinds": ["keys", "values"], "layers": "spaced", "student_depth": 2},
    ]
    wanted = CacheTeacherSettings.model_validate({"maps": maps})
    cache_teacher.run(wanted, job_for(tmp_path / "cache"), teacher=classifier, data=task_data)
    assert read_manifest(tmp_path / "cache")["signals"] == [
        *(f"hidden_states.{state}" for state in (0, 2, 4)),
        *(f"{kind}.{layer}" for kind in ("keys", "values") for layer in (2, 4)),
    ]


def test_a_cache_over_the_limit_is_refused(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    wanted = CacheTeacherSettings(signals=("logits", "hidden_states.0"))
    with pytest.raises(KdpipeError, match="cache: off"):
        cache_teacher.run(wanted, job_for(tmp_path / "c"), teacher=classifier, data=task_data, limit_gb=1e-6)


def test_text_is_distilled_with_rare_tokens_preferred(
    language_model: Path, text_data: Path, tmp_path: Path
) -> None:
    extract.run(
        ExtractSettings(model="t", layers="spaced:2", architecture="distilbert"),
        job_for(tmp_path / "student"),
        model=language_model,
    )
    count_tokens.run(
        CountTokensSettings(), job_for(tmp_path / "counts"), data=text_data, tokenizer=language_model
    )
    losses = [{"loss": "kl", "temperature": 2, "positions": "all"}, {"loss": "hard"}, {"loss": "cosine"}]
    distill.run(
        settings(losses, freeze=["*position_embeddings*"]),
        job_for(tmp_path / "made"),
        teacher=[language_model],
        student=tmp_path / "student",
        data=[text_data],
        counts=tmp_path / "counts",
    )
    before, after = load_model(tmp_path / "student"), load_model(tmp_path / "made")
    table = "distilbert.embeddings.position_embeddings.weight"
    assert before.state_dict()[table].equal(after.state_dict()[table])
    assert not before.state_dict()["vocab_projector.bias"].equal(after.state_dict()["vocab_projector.bias"])


@pytest.mark.parametrize("loss", ["kl", "soft_cross_entropy", "logit_mse"])
def test_of_embeddings_padded_to_other_numbers_of_rows_the_tokenizers_entries_are_compared(
    loss: str, language_model: Path, text_data: Path, tmp_path: Path
) -> None:
    padded, tokenizer = load_model(language_model), load_tokenizer(language_model)
    padded.resize_token_embeddings(88)
    with torch.no_grad():
        padded.cls.predictions.bias[80:] = 30.0
    save_model(padded, tokenizer, tmp_path / "padded")
    extract.run(
        ExtractSettings(model="t", layers="first:2"), job_for(tmp_path / "small"), model=language_model
    )
    extract.run(
        ExtractSettings(model="t", layers="first:2"), job_for(tmp_path / "wide"), model=tmp_path / "padded"
    )
    found = []
    for teacher, student in [
        (language_model, "small"),
        (tmp_path / "padded", "small"),
        (language_model, "wide"),
    ]:
        made = tmp_path / f"{teacher.name}-{student}"
        places = {"teacher": [teacher], "student": tmp_path / student, "data": [text_data]}
        wanted = settings(
            [{"loss": loss}, {"loss": "hard", "weight": 0.1}], training={**TRAINING, "max_steps": 1}
        )
        distill.run(wanted, job_for(made), **places)
        found += [row["value"] for row in read_parquet(made / "history.parquet") if row["name"] == loss]
    assert found == pytest.approx([found[0]] * 3, rel=rounding(), abs=rounding())


def test_a_teacher_without_the_head_is_refused(
    language_model: Path, student: Path, task_data: Path, workspace: Workspace
) -> None:
    with pytest.raises(ModelError, match="has no head for classification"):
        distill.run(
            settings(TASK_LOSSES), workspace, teacher=[language_model], student=student, data=[task_data]
        )
    assert not workspace.output.exists()


def test_a_teacher_that_reads_other_tokens_is_refused(
    classifier: Path, student: Path, task_data: Path, tmp_path: Path, workspace: Workspace
) -> None:
    other = train_wordpiece(lambda: ["quite other words stand here"], vocab_size=60, max_length=64)
    teacher = shutil.copytree(classifier, tmp_path / "teacher")
    other.save_pretrained(teacher)
    with pytest.raises(ModelError, match="different tokenizers"):
        distill.run(settings(TASK_LOSSES), workspace, teacher=[teacher], student=student, data=[task_data])


@pytest.mark.parametrize(
    "losses", [TASK_LOSSES, [{"loss": "hidden_mse", "layers": [[4, 1]]}]], ids=["logits", "states alone"]
)
def test_a_student_that_is_no_transformer_learns_from_one(
    losses: list[dict[str, Any]], classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    architecture = {"family": "bigru", "hidden_size": 16}
    create.run(
        CreateSettings.model_validate({"architecture": architecture, "tokenizer": "t"}),
        job_for(tmp_path / "student"),
        tokenizer=classifier,
    )
    training = {**TRAINING, "num_train_epochs": 10, "learning_rate": 1e-2}
    distill.run(
        settings(losses, training=training),
        job_for(tmp_path / "made"),
        teacher=[classifier],
        student=tmp_path / "student",
        data=[task_data],
    )
    assert type(load_model(tmp_path / "made")).__name__ == "BiGRUForSequenceClassification"
    loss = losses_of(tmp_path / "made")["loss"]
    assert sum(loss[-6:]) < 0.8 * sum(loss[:6])
