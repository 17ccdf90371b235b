"""Models, data and functions that the tests of stages share."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch

from kdpipe.artifacts.sums import write_sums
from kdpipe.evaluation.scoring import head_of
from kdpipe.models.creation import create_body, special_tokens
from kdpipe.models.loading import load_tokenizer, load_with_head, save_model
from kdpipe.plan.stages.prune import PruneSettings
from kdpipe.plan.stages.score_importance import ScoreImportanceSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages import prune, score_importance


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(output=tmp_path / "made", state=tmp_path / ".state")


@pytest.fixture
def odd_folder(language_model: Path, tmp_path: Path) -> Path:
    """A folder of a model with a head for tokens, to be made odd."""
    copy = shutil.copytree(language_model, tmp_path / "model")
    (copy / "SHA256SUMS").unlink()
    return copy


def job_for(folder: Path) -> Workspace:
    """Return a workspace for a folder."""
    return Workspace(output=folder, state=folder.parent / ".state")


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
    },
    "enct5": {"d_model": 16, "num_layers": 3, "num_heads": 4, "d_kv": 4, "d_ff": 32, "n_positions": 64},
    "gpt2": {"n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 64},
}
# How units are scored where a test does not say.
USUAL = {
    "criterion": "mask_gradient",
    "split": "train",
    "batches": None,
    "batch_size": 32,
    "reduction": "batch",
    "seed": 1,
}
# A family and the fixture of a dataset, such that each family and each dataset takes seconds.
TAUGHT = [("bert", "task_data"), ("bert", "number_data"), ("enct5", "ner_data")]
OTHERS = [("bert", "ner_data"), ("enct5", "task_data"), ("enct5", "number_data")]


@pytest.fixture(scope="session")
def teacher_of(
    language_model: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str, str], tuple[Path, Path]]:
    """A function from a family and a dataset to a model for it, whose units all matter, and its data."""

    @cache
    def made(family: str, data: str) -> tuple[Path, Path]:
        folder, tokenizer = tmp_path_factory.mktemp(f"{family}-{data}"), load_tokenizer(language_model)
        encoded = request.getfixturevalue(data)
        head = head_of(encoded)
        options = {**special_tokens(tokenizer), **ARCHITECTURES[family]}
        save_model(create_body(family, options, len(tokenizer), 3), tokenizer, folder)
        model = load_with_head(folder, head, seed=3)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
        save_model(model, tokenizer, folder)
        write_sums(folder)
        return folder, encoded

    return made


@pytest.fixture(
    params=[*TAUGHT, *(pytest.param(other, marks=pytest.mark.slow) for other in OTHERS)], ids="-".join
)
def taught(
    request: pytest.FixtureRequest, teacher_of: Callable[[str, str], tuple[Path, Path]]
) -> tuple[Path, Path]:
    """The folders of a model for a task and of its data."""
    return teacher_of(*request.param)


def scored(model: Path, data: Path, **settings: Any) -> Path:
    """Score a model's units, and return the folder of the scores."""
    folder = Path(mkdtemp(dir=data.parent)) / "scores"
    wanted = ScoreImportanceSettings.model_validate({**USUAL, **settings})
    score_importance.run(wanted, job_for(folder), model=model, data=data)
    return folder


def pruned(model: Path, folder: Path, importance: Path | None = None, **settings: Any) -> Path:
    """Prune a model into a folder, and return it."""
    wanted = PruneSettings.model_validate({"model": "m", **settings})
    prune.run(wanted, job_for(folder), model=model, importance=[importance] if importance else None)
    return folder
