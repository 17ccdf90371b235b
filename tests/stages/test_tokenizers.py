"""Teacher and student with different tokenizers: a sentence that one of them cuts is left out."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import write_sums
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.conll import ConllSource
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
    speller = train_wordpiece(lambda: sentences(20, 6), vocab_size=45, max_length=64)
    body, teacher, student = (tmp_path / name for name in ("body", "teacher", "student"))
    options = {**special_tokens(speller), **ARCHITECTURES["bert"], "max_position_embeddings": 256}
    save_model(create_body("bert", options, len(speller), 3), speller, body)

    def distil(theirs: int, ours: int, online: bool = False) -> Path:
        for name, reader, longest in (("theirs", body, theirs), ("ours", language_model, ours)):
            (tmp_path / name).mkdir()
            source = ConllSource(task="token_classification", path=ner_files)
            tokenizer, task = reader / "tokenizer.json", "token_classification"
            write_dataset(tmp_path / name, source, tokenizer, task=task, max_length=longest)
            write_sums(tmp_path / name)
        head = head_of(tmp_path / "ours")
        save_model(load_with_head(body, head, seed=3), speller, teacher)
        save_model(load_with_head(language_model, head, seed=4), load_tokenizer(language_model), student)
        for folder in (teacher, student):
            write_sums(folder)
        settings = DistillSettings.model_validate({**GIVEN, "training": TRAINING})
        places: dict[str, Any] = {"teacher": [teacher], "student": student, "data": [tmp_path / "ours"]}
        if online:
            distill.run(settings, job_for(tmp_path / "online"), **places, teacher_data=[tmp_path / "theirs"])
        wanted = CacheTeacherSettings(signals=("logits",), bf16=False)
        cache_teacher.run(wanted, job_for(tmp_path / "cache"), teacher=teacher, data=tmp_path / "theirs")
        distill.run(settings, job_for(tmp_path / "made"), **places, knowledge=[tmp_path / "cache"])
        return tmp_path / "made"

    return distil


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
    assert (
        f"{left_out} of {len(counts[0])} examples are left out: only some of the tokenizers cut"
        in caplog.text
    )


def test_a_teacher_that_runs_beside_the_student_teaches_the_same(
    distilled: Distilled, tmp_path: Path
) -> None:
    cached, online = distilled(40, 40, True), tmp_path / "online"
    for one, other in zip(weights(cached), weights(online), strict=True):
        assert_close(one, other)
    found = [read_manifest(folder) for folder in (cached, online)]
    assert found[0]["examples_left_out"] == found[1]["examples_left_out"] > 0
    assert found[1]["forwards"] == 2 * found[0]["forwards"]


def weights(folder: Path) -> list[torch.Tensor]:
    return list(load_model(folder).state_dict().values())


def test_where_no_sentence_is_cut_none_is_left_out(distilled: Distilled) -> None:
    assert "examples_left_out" not in read_manifest(distilled(200, 60))


def test_where_every_sentence_is_cut_by_one_it_is_told(distilled: Distilled) -> None:
    what = "no example is left: of each sentence, only some of the tokenizers cut words; raise `max_length`"
    with pytest.raises(KdpipeError, match=what):
        distilled(6, 60)
