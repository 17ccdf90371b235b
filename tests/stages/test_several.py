"""Stages on several datasets: a student of two teachers, its heads, and models that are made of it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import read_sums, verify
from kdpipe.errors import KdpipeError, ModelError
from kdpipe.models.loading import load_model
from kdpipe.models.multitask import load_parts
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.prune import PruneSettings
from kdpipe.pruning.scores import SCORES, read_scores, scores_of
from kdpipe.reporting.results import read_size
from kdpipe.stages import cache_teacher, distill, evaluate, extract, finetune, prune
from tests.stages.conftest import job_for, scored
from tests.tolerance import assert_close

TRAINING = {"max_steps": 6, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "bf16": False}
LOSSES = [
    {"loss": "kl", "temperature": 2},
    {"loss": "hidden_mse", "layers": "spaced", "dataset": "films"},
    {"loss": "hard", "dataset": "numbers"},
]
SIGNALS = {
    "films": ("logits", "hidden_states.0", "hidden_states.2", "hidden_states.3"),
    "numbers": ("logits",),
}
GIVEN = {
    "teacher": {"films": "a", "numbers": "b"},
    "student": "s",
    "dataset": ["films", "numbers"],
    "losses": LOSSES,
    "training": TRAINING,
}


@pytest.fixture
def data(task_data: Path, number_data: Path, tmp_path: Path) -> dict[str, Path]:
    """Two encoded datasets where a workflow has them: in a folder by their names."""
    folders = {"films": task_data, "numbers": number_data}
    return {name: shutil.copytree(folder, tmp_path / name / "t") for name, folder in folders.items()}


@pytest.fixture
def teachers(teacher_of: Any) -> dict[str, Path]:
    """A model for each dataset."""
    return {"films": teacher_of("bert", "task_data")[0], "numbers": teacher_of("bert", "number_data")[0]}


@pytest.fixture
def learn(data: dict[str, Path], teachers: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """A function that distils two teachers into a student of two blocks, online or cached."""
    student = tmp_path / "student"
    extract.run(ExtractSettings(model="t", layers="first:2"), job_for(student), model=teachers["films"])

    def stored() -> list[Path]:
        for name, signals in SIGNALS.items():
            wanted = CacheTeacherSettings(signals=signals, precision="float32", bf16=False)
            places = {"teacher": teachers[name], "data": data[name]}
            cache_teacher.run(wanted, job_for(tmp_path / f"cache-{name}"), **places)
        return [tmp_path / f"cache-{name}" for name in SIGNALS]

    def run(name: str, cached: bool = False, **more: Any) -> Path:
        wanted = DistillSettings.model_validate({**GIVEN, **more})
        places = {"teacher": [*teachers.values()], "student": student, "data": [*data.values()]}
        knowledge = stored() if cached else None
        distill.run(wanted, job_for(tmp_path / name), **places, knowledge=knowledge)
        return tmp_path / name

    return run


def count(module: Any) -> int:
    return sum(int(parameter.numel()) for parameter in module.parameters())


def heads_of(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {name: dict(model.state_dict()) for name, model in load_parts(folder).items()}


def test_cached_and_online_make_the_same_student(learn: Callable[..., Path]) -> None:
    online, cached = learn("online"), learn("cached", cached=True)
    for name, weights in heads_of(online).items():
        for one, other in zip(heads_of(cached)[name].values(), weights.values(), strict=True):
            assert_close(one, other)
    verify(online)
    names = {row["name"] for row in read_parquet(online / "history.parquet")}
    assert {"films_kl", "films_hidden_mse", "numbers_kl", "numbers_hard"} <= names
    assert not {"numbers_hidden_mse", "films_hard"} & names
    passes = [read_manifest(folder)["forwards"] for folder in (online, cached)]
    assert passes == [2 * 6 * 16, 6 * 16]
    assert read_manifest(online)["pairs"] == {"films_hidden_mse": [[0, 0], [2, 1], [3, 2]]}


def test_its_folder_has_the_body_and_a_model_for_each_head(learn: Callable[..., Path]) -> None:
    folder = learn("made")
    assert {name for name in read_sums(folder) if name.endswith(".safetensors")} == {
        "model.safetensors", "heads/films/model.safetensors", "heads/numbers/model.safetensors"
    }  # fmt: skip
    parts, body = load_parts(folder), load_model(folder)
    theirs = dict(parts["films"].base_model.named_parameters())
    assert all(value.equal(theirs[name]) for name, value in body.named_parameters())
    outputs = {name: count(model.classifier) for name, model in parts.items()}
    assert read_size(folder)["parameters"] == count(body) + outputs["films"] + outputs["numbers"]


def test_each_head_is_scored_on_its_dataset(
    learn: Callable[..., Path], data: dict[str, Path], tmp_path: Path
) -> None:
    folder = learn("made")
    for name, metric in (("films", "accuracy"), ("numbers", "pearson")):
        evaluate.run(EvaluateSettings(), job_for(tmp_path / f"scores-{name}"), model=folder, data=data[name])
        rows = read_parquet(tmp_path / f"scores-{name}" / "metrics.parquet")
        assert metric in {row["metric"] for row in rows}
    strange = shutil.copytree(data["films"], tmp_path / "other" / "t")
    with pytest.raises(ModelError, match="has heads for films, numbers, and none for 'other'"):
        evaluate.run(EvaluateSettings(), job_for(tmp_path / "x"), model=folder, data=strange)


def test_units_are_ranked_by_both_datasets_and_cut_with_both_heads(
    learn: Callable[..., Path], data: dict[str, Path], tmp_path: Path
) -> None:
    folder = learn("made")
    scores = [scored(folder, place) for place in data.values()]
    both, (first, second) = scores_of(scores), (read_scores(place / SCORES) for place in scores)
    one, other = (torch.cat(found["neuron"]) for found in (first, second))
    expected = (one / one.sum() + other / other.sum()) / 2
    assert torch.cat(both["neuron"]).allclose(expected)
    prune.run(
        PruneSettings(model="m", sparsity=0.5), job_for(tmp_path / "cut"), model=folder, importance=scores
    )
    parts = load_parts(tmp_path / "cut")
    counts = {str(model.config.unit_counts) for model in parts.values()}
    assert len(counts) == 1
    bodies = [dict(model.base_model.named_parameters()) for model in parts.values()]
    assert all(value.equal(bodies[1][name]) for name, value in bodies[0].items())
    for name, model in parts.items():
        assert model.classifier.weight.equal(load_parts(folder)[name].classifier.weight)
    evaluate.run(EvaluateSettings(), job_for(tmp_path / "scores"), model=tmp_path / "cut", data=data["films"])


def test_blocks_are_extracted_with_both_heads(learn: Callable[..., Path], tmp_path: Path) -> None:
    folder = learn("made")
    extract.run(ExtractSettings(model="m", layers="first:1"), job_for(tmp_path / "less"), model=folder)
    parts = load_parts(tmp_path / "less")
    assert {name: model.config.num_hidden_layers for name, model in parts.items()} == {
        "films": 1,
        "numbers": 1,
    }


def test_a_training_starts_from_the_head_of_its_dataset(
    learn: Callable[..., Path], data: dict[str, Path], tmp_path: Path
) -> None:
    folder, still = learn("made"), {**TRAINING, "learning_rate": 0.0}
    wanted = FinetuneSettings.model_validate({"model": "m", "dataset": "numbers", "training": still})
    finetune.run(wanted, job_for(tmp_path / "one"), model=folder, data=[data["numbers"]])
    before = heads_of(folder)["numbers"]
    assert all(value.equal(before[name]) for name, value in load_model(tmp_path / "one").state_dict().items())
    given = {"model": "m", "dataset": ["numbers", "films"], "training": still, "sampling": {"exponent": 0.5}}
    wanted = FinetuneSettings.model_validate(given)
    finetune.run(wanted, job_for(tmp_path / "two"), model=folder, data=[data["numbers"], data["films"]])
    for name, weights in heads_of(folder).items():
        assert all(value.equal(heads_of(tmp_path / "two")[name][key]) for key, value in weights.items())


def test_a_model_with_several_heads_teaches_on_each_dataset(
    learn: Callable[..., Path], data: dict[str, Path], tmp_path: Path
) -> None:
    folder = learn("made")
    given = {**GIVEN, "teacher": "m", "losses": LOSSES[:1]}
    places = {"teacher": [folder], "student": folder, "data": [*data.values()]}
    distill.run(DistillSettings.model_validate(given), job_for(tmp_path / "again"), **places)
    found = [
        row["value"] for row in read_parquet(tmp_path / "again" / "history.parquet") if "kl" in row["name"]
    ]
    # A copy agrees with its teacher but for dropout.
    assert max(found) < 0.1


@pytest.mark.parametrize("loss", ["kl", "hidden_mse"])
def test_each_of_a_list_of_teachers_may_be_read_on_one_dataset_alone(
    loss: str, learn: Callable[..., Path]
) -> None:
    losses = [
        {"loss": loss, "dataset": "films", "teacher": "a"},
        {"loss": loss, "dataset": "numbers", "teacher": "b"},
    ]
    folder = learn("made", teacher=["a", "b"], losses=losses)
    terms = {row["name"] for row in read_parquet(folder / "history.parquet")}
    assert {f"films_{loss}", f"numbers_{loss}"} <= terms


def test_a_dataset_may_have_no_teacher(learn: Callable[..., Path]) -> None:
    losses = [{"loss": "kl", "dataset": "films", "teacher": "a"}, {"loss": "hard"}]
    losses += [{"loss": "hidden_mse", "dataset": "films", "teacher": "b"}]
    folder = learn("made", teacher=["a", "b"], losses=losses)
    assert "numbers_hard" in {row["name"] for row in read_parquet(folder / "history.parquet")}


def test_the_folders_of_signals_are_counted(learn: Callable[..., Path], data: dict[str, Path]) -> None:
    wanted = DistillSettings.model_validate(GIVEN)
    folders = {"teacher": [Path("a"), Path("b")], "student": Path("s"), "data": [*data.values()]}
    what = "--knowledge: expected a folder for each of a on films, b on numbers, found 1"
    with pytest.raises(KdpipeError, match=what):
        distill.run(wanted, job_for(Path("x")), **folders, knowledge=[Path("k")])


def test_patterns_freeze_what_any_head_has(learn: Callable[..., Path]) -> None:
    before = heads_of(learn("moved"))
    after = heads_of(learn("frozen", freeze=["bert.embeddings.*", "classifier.*"]))
    assert not after["films"]["classifier.weight"].equal(before["films"]["classifier.weight"])
    table = "bert.embeddings.word_embeddings.weight"
    assert after["films"][table].equal(after["numbers"][table])
    assert not after["films"][table].equal(before["films"][table])
