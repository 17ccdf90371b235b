"""Importance of every unit, for each task."""

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from kdpipe.catalog import CRITERIA
from kdpipe.errors import DataError, ModelError
from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.models.units import UNITS
from kdpipe.pruning.scores import SCORES, read_scores
from tests.encoded import read_split, write_split
from tests.stages.conftest import scored
from tests.tolerance import assert_close, is_close


def units(folder: Path) -> torch.Tensor:
    scores = read_scores(folder / SCORES)
    return torch.cat([own for kind in UNITS for own in scores[kind]])


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_unit_of_every_place_has_a_score(taught: tuple[Path, Path], criterion: str) -> None:
    """EncT5 has two attentions more than blocks, and a feed-forward layer more."""
    model, data = taught
    scores = read_scores(scored(model, data, criterion=criterion) / SCORES)
    decoder = "enct5" in model.name
    assert [len(own) for own in scores["head"]] == [4] * (5 if decoder else 3)
    assert [len(own) for own in scores["neuron"]] == [32] * (4 if decoder else 3)
    for own in (*scores["head"], *scores["neuron"]):
        assert own.isfinite().all()
        assert own.min() >= 0
        assert len(own.unique()) > 1


def test_the_same_seed_gives_the_same_scores(taught: tuple[Path, Path]) -> None:
    first, again = (units(scored(*taught, batches=2)) for _ in range(2))
    assert torch.equal(first, again)


def test_what_is_asked_for_changes_the_scores(taught: tuple[Path, Path]) -> None:
    settings: list[dict[str, object]] = [
        {},
        {"batches": 1},
        {"split": "validation"},
        {"reduction": "example"},
        {"batch_size": 8},
    ]
    found = [units(scored(*taught, **own)) for own in settings]
    assert all(not is_close(one, other) for one, other in pairwise(found))


def test_by_example_the_size_of_batches_does_not_matter(
    teacher_of: Callable[[str, str], tuple[Path, Path]],
) -> None:
    model, data = teacher_of("bert", "task_data")
    for criterion in ("mask_gradient", "weight_gradient"):
        how = {"criterion": criterion, "reduction": "example"}
        small, large = (units(scored(model, data, batch_size=size, **how)) for size in (8, 32))
        assert_close(small, large)


def test_a_model_without_the_head_is_refused(language_model: Path, task_data: Path) -> None:
    with pytest.raises(ModelError, match="has no head for classification"):
        scored(language_model, task_data)


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_what_looks_at_no_data_needs_no_head(language_model: Path, task_data: Path, criterion: str) -> None:
    assert len(units(scored(language_model, task_data, criterion=criterion, split="none")).unique()) > 1


def test_scores_that_are_not_finite_rank_nothing(
    teacher_of: Callable[[str, str], tuple[Path, Path]], tmp_path: Path
) -> None:
    folder, data = teacher_of("bert", "task_data")
    model = load_model(folder)
    with torch.no_grad():
        # The head reads only ones, and 16 times the weight is more than float32 holds.
        model.bert.pooler.dense.bias.fill_(100.0)
        model.classifier.weight.fill_(3e38)
    save_model(model, load_tokenizer(folder), tmp_path / "broken")
    with pytest.raises(ModelError, match="broken: expected finite scores of all heads and neurons"):
        scored(tmp_path / "broken", data)


def test_a_split_that_is_not_there_or_has_no_labels_is_refused(
    teacher_of: Callable[[str, str], tuple[Path, Path]], tmp_path: Path
) -> None:
    model, task_data = teacher_of("bert", "task_data")
    data = shutil.copytree(task_data, tmp_path / "unlabelled")
    write_split(data, "train", read_split(data, "train").drop_columns("labels"))
    with pytest.raises(DataError, match=r"train.arrow: expected labels, by whose loss units are ranked"):
        scored(model, data)
    with pytest.raises(DataError, match="has no split 'foo'; it has train, validation"):
        scored(model, data, split="foo")
