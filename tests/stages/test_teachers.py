"""A student of several teachers: cached and online alike, and as of one teacher where all are the same."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import write_sums
from kdpipe.errors import KdpipeError
from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.count_tokens import CountTokensSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.stages import cache_teacher, count_tokens, distill, extract
from tests.stages.conftest import job_for
from tests.tolerance import assert_close

TRAINING = {"max_steps": 3, "per_device_train_batch_size": 16, "learning_rate": 1e-3, "bf16": False}
KL = {"loss": "kl", "temperature": 2}
STATES = {"loss": "hidden_mse", "layers": "spaced", "teacher": "a"}
OTHERS = {"loss": "attention_mse", "layers": [[3, 2]], "teacher": "b"}
# What each teacher of these losses is asked for.
SIGNALS = {
    "a": ("logits", "hidden_states.0", "hidden_states.2", "hidden_states.3"),
    "b": ("logits", "attentions.3"),
}
DATA = ["task_data", "topic_data", "number_data", "ner_data", "question_data", "text_data"]
Teach = Callable[..., Path]


def other(folder: Path, copy: Path) -> Path:
    """Return the folder of a model whose weights are others."""
    shutil.copytree(folder, copy)
    model, generator = load_model(copy), torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    save_model(model, load_tokenizer(copy), copy)
    write_sums(copy)
    return copy


@pytest.fixture
def taught(teacher_of: Any, tmp_path: Path) -> Callable[..., tuple[Teach, Callable[[], list[Path]]]]:
    """A function from a dataset to functions: one distils from teachers, and one caches them."""

    def of(data_name: str) -> tuple[Teach, Callable[[], list[Path]]]:
        first, data = teacher_of("bert", data_name)
        second = other(first, tmp_path / "second")
        folders = {"a": first, "b": second}
        student, counts = tmp_path / "student", tmp_path / "counts"
        extract.run(ExtractSettings(model="t", layers="first:2"), job_for(student), model=first)
        masking = {"masking": {"fixed": 2}} if data_name == "text_data" else {}
        if masking:
            count_tokens.run(CountTokensSettings(), job_for(counts), data=data, tokenizer=first)
        counted = {"counts": counts} if masking else {}

        def caches() -> list[Path]:
            for name, folder in folders.items():
                given = {"signals": SIGNALS[name], "precision": "float32", "bf16": False, **masking}
                given |= {"seed": 42} if masking else {}
                wanted = CacheTeacherSettings.model_validate(given)
                places = {"teacher": folder, "data": data, **counted}
                cache_teacher.run(wanted, job_for(tmp_path / f"cache-{name}"), **places)
            return [tmp_path / f"cache-{name}" for name in folders]

        def teach(name: str, losses: Any, teachers: str = "ab", knowledge: Any = None, **more: Any) -> Path:
            given = {"teacher": list(teachers), "student": "s", "dataset": "d", "losses": losses, **masking}
            wanted = DistillSettings.model_validate({**given, "training": TRAINING, "seed": 42, **more})
            places = {"teacher": [folders[name] for name in teachers], "student": student, "data": [data]}
            distill.run(wanted, job_for(tmp_path / name), **places, **counted, knowledge=knowledge)
            return tmp_path / name

        return teach, caches

    return of


def weights(folder: Path) -> list[torch.Tensor]:
    return list(load_model(folder).state_dict().values())


@pytest.mark.parametrize("average", ["logits", "probabilities"])
@pytest.mark.parametrize(
    "data", ["task_data", "topic_data", "number_data", "ner_data", "question_data", "text_data"]
)
def test_cached_and_online_make_the_same_model(data: str, average: str, taught: Any) -> None:
    teach, caches = taught(data)
    losses, ensemble = [KL, STATES, OTHERS], {"average": average, "weights": [2, 1]}
    online = teach("online", losses, ensemble=ensemble)
    cached = teach("cached", losses, ensemble=ensemble, knowledge=caches())
    for one, other in zip(weights(cached), weights(online), strict=True):
        assert_close(one, other)
    passes = {folder: read_manifest(folder)["forwards"] for folder in (online, cached)}
    assert passes[online] == 3 * passes[cached]
    names = {row["name"] for row in read_parquet(online / "history.parquet")}
    assert names >= {"kl", "hidden_mse", "attention_mse"}


def test_each_teacher_is_asked_for_what_its_terms_read(taught: Any) -> None:
    teach, caches = taught("task_data")
    first, second = caches()
    with pytest.raises(
        KdpipeError, match=r"the losses read the teacher's attentions\.3, which the file lacks"
    ):
        teach("cached", [KL, STATES, OTHERS], knowledge=[first, first])
    with pytest.raises(
        KdpipeError, match="--knowledge: expected a folder for each of a on d, b on d, found 1"
    ):
        teach("cached", [KL, STATES, OTHERS], knowledge=[second])


def test_the_weights_of_teachers_count(taught: Any) -> None:
    teach, _ = taught("task_data")
    even, uneven, alone = (
        teach("even", [KL]),
        teach("uneven", [KL], ensemble={"weights": [1, 1e-9]}),
        teach("alone", [KL], teachers="a"),
    )
    assert any(not torch.equal(*pair) for pair in zip(weights(even), weights(alone), strict=True))
    for one, other in zip(weights(uneven), weights(alone), strict=True):
        assert_close(one, other)
