"""A student of text learns the same from a stored teacher as from a teacher beside it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.models.loading import Head, load_model, load_tokenizer, load_with_head, save_model
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.count_tokens import CountTokensSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.stages import cache_teacher, count_tokens, distill, extract
from tests.models.conftest import bodies, scattered
from tests.stages.conftest import job_for

__all__ = ["bodies"]
LOSSES: list[dict[str, Any]] = [
    {"loss": "kl", "temperature": 2},
    {"loss": "kl", "top_k": 4},
    {"loss": "hidden_mse", "layers": [[3, 2]]},
    {"loss": "hard"},
]
SIGNALS = ("logits", "top_logits.4", "top_entries.4", "hidden_states.3")


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_stored_teacher_of_text(
    family: str, bodies: dict[str, Path], text_data: Path, tmp_path: Path
) -> None:
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    with_head = scattered(load_with_head(bodies[family], Head("language_modeling"), 1))
    save_model(with_head, load_tokenizer(bodies[family]), teacher)
    extract.run(ExtractSettings(model="t", layers="first:2"), job_for(student), model=teacher)
    masking = {"fixed": 2}
    counts = tmp_path / "counts"
    count_tokens.run(CountTokensSettings(), job_for(counts), data=text_data, tokenizer=teacher)
    training = {"num_train_epochs": 3, "per_device_train_batch_size": 8, "bf16": False}
    given = {"teacher": "t", "student": "s", "dataset": "d", "losses": LOSSES, "seed": 5}
    settings = DistillSettings.model_validate({**given, "masking": masking, "training": training})
    places: dict[str, Any] = {"teacher": teacher, "student": student, "data": text_data, "counts": counts}
    distill.run(settings, job_for(tmp_path / "beside"), **places)

    masked: dict[str, Any] = {"masking": masking, "seed": 5} if family == "bert" else {}
    wanted = CacheTeacherSettings.model_validate(
        {"signals": SIGNALS, "precision": "float32", "bf16": False, **masked}
    )
    job = job_for(tmp_path / "cache")
    cache_teacher.run(wanted, job, teacher=teacher, data=text_data, counts=counts if masked else None)
    distill.run(settings, job_for(tmp_path / "stored"), knowledge=tmp_path / "cache", **places)

    expected = load_model(tmp_path / "beside").state_dict()
    for name, value in load_model(tmp_path / "stored").state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
    assert any(not value.equal(expected[name]) for name, value in load_model(student).state_dict().items())
