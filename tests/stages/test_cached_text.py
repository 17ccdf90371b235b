"""A student learns text from a cached teacher as from a teacher beside it, and never from other masks."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import write_sums
from kdpipe.errors import KdpipeError
from kdpipe.models.loading import load_model
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.count_tokens import CountTokensSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.stages import cache_teacher, count_tokens, distill, extract
from tests.stages.conftest import job_for
from tests.tolerance import ROUNDINGS, assert_close, rounding

LOSSES = [
    {"loss": "kl", "temperature": 2, "positions": "all"},
    {"loss": "soft_cross_entropy", "top_k": 5},
    {"loss": "hidden_mse", "layers": [[3, 2]]},
    {"loss": "hard"},
]
SIGNALS = ("logits", "hidden_states.3", "top_logits.5", "top_entries.5")
TRAINING = {"num_train_epochs": 3, "per_device_train_batch_size": 16, "bf16": False, "optim": "sgd"}
TWICE = {"fixed": 2}
# Sums over the steps of a training.
STEPS = 8 * ROUNDINGS


@pytest.fixture(params=["bert", "gpt2"])
def places(
    request: pytest.FixtureRequest, teacher_of: Callable[[str, str], tuple[Path, Path]], tmp_path: Path
) -> dict[str, Path]:
    """The folders of a teacher, its text and the counts of its tokens, and of a student without dropout."""
    teacher, data = teacher_of(request.param, "text_data")
    extract.run(ExtractSettings(model="t", layers="first:2"), job_for(tmp_path / "student"), model=teacher)
    config = tmp_path / "student" / "config.json"
    config.write_text(re.sub(r'(_dropout_prob|_pdrop)": 0.1', r'\1": 0.0', config.read_text()))
    write_sums(tmp_path / "student")
    count_tokens.run(CountTokensSettings(), job_for(tmp_path / "counts"), data=data, tokenizer=teacher)
    return {
        "teacher": teacher,
        "student": tmp_path / "student",
        "data": data,
        "counts": tmp_path / "counts",
    }


def cache(places: dict[str, Path], folder: Path, **more: Any) -> Path:
    """Store the signals of a teacher, masked in two ways if not told otherwise."""
    given = {"signals": SIGNALS, "precision": "float32", "bf16": False, "positions": "all", "masking": TWICE}
    wanted = CacheTeacherSettings.model_validate({**given, "seed": 1, **more})
    read = {name: places[name] for name in ("teacher", "data", "counts") if name in places}
    cache_teacher.run(wanted, job_for(folder), **read)
    return folder


def learn(places: dict[str, Path], folder: Path, knowledge: Path | None = None, **more: Any) -> Path:
    given = {
        "teacher": "t",
        "student": "s",
        "dataset": "d",
        "losses": LOSSES,
        "training": TRAINING,
    }
    wanted = DistillSettings.model_validate({**given, "seed": 1, "masking": TWICE, **more})
    stored = {"knowledge": [knowledge]} if knowledge else {}
    listed = {name: [places[name]] for name in ("teacher", "data")}
    distill.run(wanted, job_for(folder), **{**places, **listed, **stored})
    return folder


def test_cached_and_online_make_the_same_model(places: dict[str, Path], tmp_path: Path) -> None:
    """Three epochs read two maskings, the first masking twice."""
    stored = cache(places, tmp_path / "cache")
    cached, online = learn(places, tmp_path / "cached", stored), learn(places, tmp_path / "online")
    rows = [read_parquet(folder / "history.parquet") for folder in (cached, online)]
    assert len(rows[0]) == len(rows[1]) > 4
    for one, other in zip(*rows, strict=True):
        assert one == {**other, "value": pytest.approx(other["value"], rel=rounding(STEPS))}
    before, made, expected = (
        load_model(folder).state_dict() for folder in (places["student"], cached, online)
    )
    assert made.keys() == expected.keys()
    for name, weights in expected.items():
        assert_close(made[name], weights, STEPS)
    assert any(not weights.equal(before[name]) for name, weights in expected.items())


def test_the_teacher_runs_once_for_each_masking(
    places: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A causal model has one, whatever a config says that does not know the model's family."""
    stored = {number: cache(places, tmp_path / f"{number}", masking={"fixed": number}) for number in (1, 3)}
    causal = "gpt2" in request.node.callspec.id
    for number, folder in stored.items():
        made, maskings = read_manifest(folder), 1 if causal else number
        assert (made["maskings"], made["forwards"]) == (maskings, maskings * made["examples"])
    sizes = [(folder / "signals.arrow").stat().st_size for folder in stored.values()]
    assert sizes[1] / sizes[0] == pytest.approx(1 if causal else 3, rel=0.02)


@pytest.mark.parametrize("places", ["bert"], indirect=True)
@pytest.mark.parametrize(
    "other",
    [
        {"seed": 2},
        {"masking": {"fixed": 3}},
        {"masking": {"fixed": 2, "probability": 0.2}},
        {"masking": {"fixed": 2, "smoothing": 1}},
        {"masking": {"fixed": 2, "mask": 0.7, "keep": 0.2}},
    ],
    ids=str,
)
def test_signals_on_other_masks_are_refused(
    other: dict[str, Any], places: dict[str, Path], tmp_path: Path
) -> None:
    stored = cache(places, tmp_path / "cache")
    with pytest.raises(KdpipeError, match="signals on tokens that are masked in other ways"):
        learn(places, tmp_path / "made", stored, **other)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("places", ["bert"], indirect=True)
def test_signals_with_other_counts_are_refused(places: dict[str, Path], tmp_path: Path) -> None:
    stored = cache(places, tmp_path / "cache")
    del places["counts"]
    with pytest.raises(KdpipeError, match="signals on tokens that are masked in other ways"):
        learn(places, tmp_path / "made", stored)
    # Without smoothing, rare tokens are masked as often as others, and counts do not matter.
    alike = {"fixed": 2, "smoothing": 0}
    learn(places, tmp_path / "made", cache(places, tmp_path / "alike", masking=alike), masking=alike)
    assert (tmp_path / "made" / "model.safetensors").exists()


@pytest.mark.parametrize("places", ["bert"], indirect=True)
def test_masks_of_each_epoch_cannot_be_stored(places: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(KdpipeError, match=r"masking.fixed: expected a number .* masked anew in every epoch"):
        cache(places, tmp_path / "cache", masking={})
    stored = cache(places, tmp_path / "cache")
    with pytest.raises(KdpipeError, match="masked in other ways"):
        learn(places, tmp_path / "made", stored, masking={})


@pytest.mark.parametrize("places", ["gpt2"], indirect=True)
def test_where_nothing_is_masked_no_masking_is_needed(places: dict[str, Path], tmp_path: Path) -> None:
    stored = cache(places, tmp_path / "cache", masking=None, seed=0)
    learn(places, tmp_path / "made", stored, masking={})
    assert read_manifest(stored)["maskings"] == 1
    assert (tmp_path / "made" / "model.safetensors").exists()
