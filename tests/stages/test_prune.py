"""Pruned models as files: made, read, trained, and pruned again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.errors import ModelError
from kdpipe.models.loading import load_model
from kdpipe.models.pruned import ranks_of
from kdpipe.models.units import UNITS
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.pruning.scores import SCORES, read_scores
from kdpipe.stages import distill, extract
from tests.stages.conftest import job_for, pruned, scored

TeacherOf = Callable[[str, str], tuple[Path, Path]]
ROSITA = {"heads": 2, "layers": 2, "intermediate_size": 8, "embedding_rank": 6}


def counts(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())["unit_counts"]


def weights_equal(one: Path, other: Path) -> bool:
    """Tell whether two models have the same weights, and the same ranking of their units."""
    ours, theirs = (load_model(folder).state_dict() for folder in (one, other))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def distilled(folder: Path, teacher: Path, student: Path, data: Path, layers: Any = "spaced") -> Path:
    given = {
        "teacher": "t",
        "student": "s",
        "dataset": "d",
        "losses": [{"loss": "soft_cross_entropy"}, {"loss": "hidden_mse", "layers": layers}],
        "training": {"num_train_epochs": 1, "per_device_train_batch_size": 16, "bf16": False},
    }
    settings = DistillSettings.model_validate(given)
    distill.run(settings, job_for(folder), teacher=[teacher], student=student, data=[data])
    return folder


def test_a_sparsity_removes_its_share_of_heads_and_of_neurons(
    taught: tuple[Path, Path], tmp_path: Path
) -> None:
    model, data = taught
    importance = scored(model, data)
    places = 5 if "enct5" in model.name else 3
    for sparsity in (0.0, 0.5, 0.9, 0.95):
        folder = pruned(model, tmp_path / f"{sparsity}", importance, sparsity=sparsity)
        heads, neurons = 4 * places, 32 * (places - 1 if places == 5 else places)
        kept = counts(folder)
        assert sum(kept["head"]) == heads - round(sparsity * heads)
        assert sum(kept["neuron"]) == neurons - round(sparsity * neurons)
        assert read_manifest(folder)["unit_counts"] == kept
    assert 0 in kept["head"]


def test_pruning_an_assistant_is_pruning_its_teacher(taught: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = taught
    importance = scored(model, data)
    assistant = pruned(model, tmp_path / "assistant", importance, sparsity=0.6)
    again = pruned(assistant, tmp_path / "again", sparsity=0.9)
    assert weights_equal(again, pruned(model, tmp_path / "direct", importance, sparsity=0.9))
    assert not weights_equal(again, pruned(model, tmp_path / "other", importance, sparsity=0.8))


def test_new_scores_choose_among_the_units_that_are_left(taught: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = taught
    assistant = pruned(model, tmp_path / "assistant", scored(model, data), sparsity=0.5)
    importance = scored(assistant, data, criterion="random")
    again = pruned(assistant, tmp_path / "again", importance, sparsity=0.9)
    total = json.loads((again / "config.json").read_text())["ancestor_counts"]["neuron"]
    assert sum(counts(again)["neuron"]) == total - round(0.9 * total)
    assert not weights_equal(again, pruned(assistant, tmp_path / "carried", sparsity=0.9))


def test_a_uniform_shape_is_trained_and_pruned_again(taught: tuple[Path, Path], tmp_path: Path) -> None:
    """EncT5 shares its embeddings among encoder and decoder, which keep them whole."""
    model, data = taught
    shape = {**ROSITA} if "bert" in model.name else {k: v for k, v in ROSITA.items() if "rank" not in k}
    rosita = pruned(model, tmp_path / "rosita", scored(model, data), **shape)
    assert set(counts(rosita)["head"]) == {2}
    assert set(counts(rosita)["neuron"]) == {8}
    student = distilled(tmp_path / "student", model, rosita, data)
    assert not weights_equal(student, rosita)
    smaller = pruned(student, tmp_path / "smaller", heads=1)
    assert set(counts(smaller)["head"]) == {1}
    total = json.loads((student / "config.json").read_text())["ancestor_counts"]
    sparse = pruned(student, tmp_path / "sparse", sparsity=0.9)
    assert {kind: sum(own) for kind, own in counts(sparse).items()} == {
        kind: total[kind] - round(0.9 * total[kind]) for kind in UNITS
    }
    assert getattr(load_model(sparse).config, "embedding_rank", None) == shape.get("embedding_rank")


def test_factorised_embeddings_do_not_stand_in_the_way_of_a_sparsity(
    teacher_of: TeacherOf, tmp_path: Path
) -> None:
    model, data = teacher_of("bert", "task_data")
    factorised = pruned(model, tmp_path / "factorised", embedding_rank=6)
    sparse = pruned(factorised, tmp_path / "sparse", scored(factorised, data), sparsity=0.5)
    assert sum(counts(sparse)["head"]) == 6
    assert load_model(sparse).config.embedding_rank == 6


def test_a_shape_of_the_stock_class_needs_no_import(teacher_of: TeacherOf, tmp_path: Path) -> None:
    model, data = teacher_of("bert", "task_data")
    narrow = pruned(model, tmp_path / "narrow", scored(model, data), intermediate_size=8, layers=2)
    config = json.loads((narrow / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert "unit_counts" not in config
    loaded = AutoModelForSequenceClassification.from_pretrained(narrow)
    assert loaded.bert.encoder.layer[1].output.dense.weight.shape == (16, 8)


@pytest.mark.parametrize("shape", [{"layers": 2}, {"heads": 4, "intermediate_size": 8}])
def test_a_ranking_is_carried_on_also_in_a_shape_of_the_stock_class(
    teacher_of: TeacherOf, tmp_path: Path, shape: dict[str, int]
) -> None:
    """Whether the lowest blocks of a sparse model are whole only its ranking tells, and no config."""
    model, data = teacher_of("bert", "task_data")
    whole = pruned(model, tmp_path / "whole", scored(model, data), sparsity=0.0)
    even = pruned(whole, tmp_path / "even", **shape)
    assert sum(counts(pruned(even, tmp_path / "sparse", sparsity=0.9))["head"]) == 1


def test_without_neurons_a_model_is_read_and_pruned_again(taught: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = taught
    bare = pruned(model, tmp_path / "bare", scored(model, data), intermediate_size=0)
    assert set(counts(bare)["neuron"]) == {0}
    assert set(counts(pruned(bare, tmp_path / "narrow", heads=1))["head"]) == {1}


def test_as_the_published_code_cuts_the_bias_of_a_place_without_heads_goes(
    teacher_of: TeacherOf, tmp_path: Path
) -> None:
    model, data = teacher_of("bert", "task_data")
    importance, biases = scored(model, data), {}
    for compat in ("paper", "code"):
        cut = pruned(model, tmp_path / compat, importance, sparsity=0.9, compat=compat)
        biases[compat] = {name for name in load_model(cut).state_dict() if name.endswith("output.dense.bias")}
    gone = {place for place, count in enumerate(counts(cut)["head"]) if not count}
    assert gone
    assert biases["paper"] - biases["code"] == {
        f"bert.encoder.layer.{place}.attention.output.dense.bias" for place in gone
    }


def numbers(text: str) -> list[int]:
    """Return the numbers of a text such as `0-2, 7`."""
    runs = [[int(number) for number in run.split("-")] for run in text.split(", ") if run]
    return [number for run in runs for number in range(run[0], run[-1] + 1)]


def test_the_manifest_tells_the_units_that_are_left(teacher_of: TeacherOf, tmp_path: Path) -> None:
    """Units go by their places in the unpruned teacher, also where the model is saved in its stock class."""
    model, data = teacher_of("bert", "task_data")
    importance = scored(model, data)
    scores = read_scores(importance / SCORES)
    narrow = read_manifest(pruned(model, tmp_path / "narrow", importance, intermediate_size=8))["kept"]
    assert narrow["head"] == ["0-3"] * 3
    for text, own in zip(narrow["neuron"], scores["neuron"], strict=True):
        assert numbers(text) == sorted(own.topk(8).indices.tolist())
    half = pruned(model, tmp_path / "half", importance, sparsity=0.5)
    tenth = pruned(half, tmp_path / "tenth", sparsity=0.9)
    wider, narrower = (read_manifest(folder)["kept"] for folder in (half, tenth))
    for kind in UNITS:
        assert [len(numbers(text)) for text in narrower[kind]] == counts(tenth)[kind]
        for small, large, own in zip(narrower[kind], wider[kind], scores[kind], strict=True):
            assert set(numbers(small)) <= set(numbers(large))
            assert set(numbers(large)) == set(own.topk(len(numbers(large))).indices.tolist())
    assert read_manifest(pruned(model, tmp_path / "lowest", layers=2))["kept"] is None


@pytest.mark.parametrize("layers", ["spaced:2", [2, 0], [1]])
def test_blocks_of_their_own_shapes_are_extracted(
    taught: tuple[Path, Path], tmp_path: Path, layers: Any
) -> None:
    model, data = taught
    assistant = pruned(model, tmp_path / "assistant", scored(model, data), sparsity=0.6)
    folder = tmp_path / "student"
    settings = ExtractSettings.model_validate({"model": "m", "layers": layers})
    extract.run(settings, job_for(folder), model=assistant)
    blocks = [0, 2] if isinstance(layers, str) else layers
    found, source = counts(folder), counts(assistant)
    for kind in UNITS:
        assert found[kind] == [*(source[kind][block] for block in blocks), *source[kind][3:]]
    ours, theirs = ranks_of(load_model(folder)), ranks_of(load_model(assistant))
    assert ours is not None
    assert theirs is not None
    for place, block in enumerate(blocks):
        assert torch.equal(ours["neuron"][place], theirs["neuron"][block])
    distilled(tmp_path / "taught", model, folder, data, [[0, 0], [3, len(blocks)]])


def test_the_lowest_blocks_of_their_own_shapes_stay(taught: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = taught
    assistant = pruned(model, tmp_path / "assistant", scored(model, data), sparsity=0.6)
    lowest = pruned(assistant, tmp_path / "lowest", layers=2)
    source = counts(assistant)
    assert counts(lowest) == {kind: [*source[kind][:2], *source[kind][3:]] for kind in UNITS}


def test_what_a_model_does_not_have_is_refused(teacher_of: TeacherOf, tmp_path: Path) -> None:
    model, data = teacher_of("bert", "task_data")
    importance = scored(model, data)
    with pytest.raises(ModelError, match="carries no ranking of its units"):
        pruned(model, tmp_path / "a", sparsity=0.5)
    with pytest.raises(ModelError, match="expected at most 4 heads"):
        pruned(model, tmp_path / "b", importance, heads=5)
    with pytest.raises(ModelError, match="expected at most 3 layers"):
        pruned(model, tmp_path / "c", layers=4)
    half = pruned(model, tmp_path / "half", importance, sparsity=0.5)
    with pytest.raises(ModelError, match="removes 4 of the ancestor's 12 heads, but the model has lost 6"):
        pruned(half, tmp_path / "d", sparsity=0.3)
    assert not (tmp_path / "d").exists()
