"""Every stage that runs a model refuses a dataset that is longer than the model reads."""

from pathlib import Path
from typing import Any

import pytest

from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.glue import GlueSource
from kdpipe.errors import ModelError
from kdpipe.models.creation import create_body
from kdpipe.models.loading import load_tokenizer, load_with_head, save_model
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.submit import SubmitSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages import cache_teacher, distill, evaluate, finetune, submit
from tests.conftest import ARCHITECTURE, CLASSIFICATION

DISTILL = DistillSettings.model_validate(
    {"teacher": "t", "student": "s", "dataset": "d", "losses": [{"loss": "kl"}]}
)


@pytest.fixture
def short(language_model: Path, tmp_path: Path) -> Path:
    """The folder of a classifier that reads 24 tokens."""
    tokenizer = load_tokenizer(language_model)
    options = {**ARCHITECTURE, "max_position_embeddings": 24}
    save_model(create_body("bert", options, len(tokenizer), seed=1), tokenizer, tmp_path / "body")
    save_model(load_with_head(tmp_path / "body", CLASSIFICATION, seed=1), tokenizer, tmp_path / "short")
    return tmp_path / "short"


@pytest.fixture
def data(sst2: Path, language_model: Path, tmp_path: Path) -> Path:
    """SST-2 with a test split, in rows of up to 32 tokens."""
    folder = tmp_path / "data"
    folder.mkdir()
    files = {"train": sst2 / "train.tsv", "validation": sst2 / "dev.tsv", "test": sst2 / "dev.tsv"}
    source = GlueSource(task="classification", name="SST-2", files=files)
    write_dataset(folder, source, language_model / "tokenizer.json", task="classification", max_length=32)
    return folder


@pytest.mark.parametrize(("stage", "settings", "roles"), [
    (finetune, FinetuneSettings(model="m", dataset="d"), ["model"]),
    (distill, DISTILL, ["student", "teacher"]),
    (cache_teacher, CacheTeacherSettings(signals=("logits",)), ["teacher"]),
    (evaluate, EvaluateSettings(), ["model"]),
    (submit, SubmitSettings(), ["model"]),
])  # fmt: skip
def test_the_length_is_checked_first(
    stage: Any,
    settings: Any,
    roles: list[str],
    short: Path,
    classifier: Path,
    data: Path,
    workspace: Workspace,
) -> None:
    for role in roles:
        models: dict[str, Any] = {**dict.fromkeys(roles, classifier), role: short}
        if stage is distill:
            models["teacher"] = [models["teacher"]]
        read = [data] if stage in (finetune, distill) else data
        with pytest.raises(ModelError, match=r"has rows of 32 tokens, but .*short reads at most 24"):
            stage.run(settings, workspace, data=read, **models)
