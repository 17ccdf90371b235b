"""Teacher and student with different tokenizers: what only one of them cuts is left out."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import write_sums
from kdpipe.data.counterpart import Counterpart
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.conll import ConllSource
from kdpipe.data.sources.squad import SquadSource
from kdpipe.errors import KdpipeError
from kdpipe.evaluation.scoring import head_of
from kdpipe.models.creation import create_body, special_tokens, train_wordpiece
from kdpipe.models.loading import load_model, load_tokenizer, load_with_head, save_model
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.stages import cache_teacher, distill
from tests.conftest import sentences
from tests.stages.conftest import ARCHITECTURES, job_for
from tests.tolerance import assert_close

GIVEN = {"teacher": "t", "student": "s", "dataset": "d", "losses": [{"loss": "kl"}, {"loss": "hard"}]}
TRAINING = {"num_train_epochs": 2, "per_device_train_batch_size": 16, "bf16": False}
Distilled = Callable[..., Path]


@pytest.fixture
def distilled(language_model: Path, ner_files: Path, tmp_path: Path) -> Distilled:
    """A function that distils tags from a teacher that spells words; they read so many tokens each."""
    return partial(distil, tmp_path, language_model, ConllSource, "token_classification", ner_files)


@pytest.fixture
def answered(language_model: Path, squad: Path, tmp_path: Path) -> Distilled:
    """A function that distils answers from a teacher that spells words; they read so many tokens each."""
    return partial(distil, tmp_path, language_model, SquadSource, "question_answering", squad)


def distil(
    folder: Path,
    reader: Path,
    reads: type[ConllSource | SquadSource],
    task: str,
    files: Path,
    theirs: int,
    ours: int,
    online: bool = False,
) -> Path:
    """Distil a model from a teacher that spells words, both with new heads, and return its folder."""
    speller = train_wordpiece(lambda: sentences(20, 6), vocab_size=45, max_length=64)
    body, teacher, student = (folder / name for name in ("body", "teacher", "student"))
    options = {**special_tokens(speller), **ARCHITECTURES["bert"], "max_position_embeddings": 256}
    save_model(create_body("bert", options, len(speller), 3), speller, body)
    for name, model, longest in (("theirs", body, theirs), ("ours", reader, ours)):
        (folder / name).mkdir()
        given: dict[str, Any] = {"task": task, "max_length": longest, "stride": 8}
        write_dataset(folder / name, reads(task=task, path=files), model / "tokenizer.json", **given)
        write_sums(folder / name)
    head = head_of(folder / "ours")
    save_model(load_with_head(body, head, seed=3), speller, teacher)
    save_model(load_with_head(reader, head, seed=4), load_tokenizer(reader), student)
    for model in (teacher, student):
        write_sums(model)
    settings = DistillSettings.model_validate({**GIVEN, "training": TRAINING})
    places: dict[str, Any] = {"teacher": [teacher], "student": student, "data": [folder / "ours"]}
    places["teacher_data"] = [folder / "theirs"]
    if online:
        distill.run(settings, job_for(folder / "online"), **places)
    wanted = CacheTeacherSettings(signals=("logits",), bf16=False)
    cache_teacher.run(wanted, job_for(folder / "cache"), teacher=teacher, data=folder / "theirs")
    distill.run(settings, job_for(folder / "made"), **places, knowledge=[folder / "cache"])
    return folder / "made"


def test_a_sentence_that_one_tokenizer_cuts_is_left_out_and_counted(
    distilled: Distilled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        made = distilled(40, 40)
    counts = [EncodedSplit(tmp_path / name, "train").logit_counts for name in ("theirs", "ours")]
    left_out = int(np.count_nonzero(counts[0] != counts[1]))
    assert 0 < left_out < len(counts[0])
    found = read_manifest(made)
    assert found["examples_left_out"] == left_out
    assert found["examples_seen"] == 2 * (len(counts[0]) - left_out)
    what = f"{left_out} of {len(counts[0])} examples are left out: only some of the tokenizers cut words"
    assert what in caplog.text


@pytest.mark.parametrize(("fixture", "lengths"), [("distilled", (40, 40)), ("answered", (120, 40))])
def test_a_teacher_that_runs_beside_the_student_teaches_the_same(
    fixture: str, lengths: tuple[int, int], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    cached, online = request.getfixturevalue(fixture)(*lengths, True), tmp_path / "online"
    assert_close(weights(cached), weights(online))
    found = [read_manifest(folder) for folder in (cached, online)]
    assert found[0]["examples_left_out"] == found[1]["examples_left_out"] > 0
    assert found[1]["forwards"] == 2 * found[0]["forwards"]


def weights(folder: Path) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in load_model(folder).state_dict().values()])


def test_where_no_sentence_is_cut_none_is_left_out(distilled: Distilled) -> None:
    assert "examples_left_out" not in read_manifest(distilled(200, 60))


def test_where_every_sentence_is_cut_by_one_it_is_told(distilled: Distilled) -> None:
    what = "no example is left: of each, only some of the tokenizers cut words of the sentence; raise"
    with pytest.raises(KdpipeError, match=what):
        distilled(6, 60)


def test_a_window_that_no_window_of_the_teacher_holds_is_left_out_and_counted(
    answered: Distilled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        made = answered(120, 40)
    splits = [EncodedSplit(tmp_path / name, "train") for name in ("theirs", "ours")]
    left_out = int(np.count_nonzero(~Counterpart(*splits).usable))
    assert 0 < left_out < len(splits[1])
    found = read_manifest(made)
    assert found["examples_left_out"] == left_out
    assert found["examples_seen"] == 2 * (len(splits[1]) - left_out)
    what = "examples are left out: no window of the teacher holds all of the context in the window"
    assert f"{left_out} of {len(splits[1])} {what}" in caplog.text


def test_where_no_window_is_left_it_is_told(answered: Distilled) -> None:
    what = "no example is left: of each, no window of the teacher holds all of the context in the window"
    with pytest.raises(KdpipeError, match=what):
        answered(16, 64)
