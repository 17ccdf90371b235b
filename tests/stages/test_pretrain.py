"""A model and its tokenizer from nothing but text."""

from pathlib import Path

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import read_sums
from kdpipe.config.settings.jobs import PreprocessSettings
from kdpipe.config.settings.pretrain import PretrainSettings
from kdpipe.models.loading import load_model, load_tokenizer
from kdpipe.stages.pretrain import run
from tests.conftest import ARCHITECTURE
from tests.stages.conftest import job_for


def test_a_model_and_its_tokenizer_are_made_the_same_twice(text_files: Path, tmp_path: Path) -> None:
    source = {"source": "text", "path": str(text_files)}
    dataset = PreprocessSettings(sources=(source,), task="language_modeling", max_length=32)
    given = {
        "dataset": "text",
        "architecture": {"family": "bert", **ARCHITECTURE},
        "vocab_size": 70,
        "training": {"max_steps": 3, "per_device_train_batch_size": 8},
    }
    settings = PretrainSettings.model_validate(given)
    for name in ("a", "b"):
        run(settings, dataset, job_for(tmp_path / name))
    assert read_sums(tmp_path / "a") == read_sums(tmp_path / "b")
    assert read_manifest(tmp_path / "a")["source_files"].keys() == {
        str(path) for path in text_files.iterdir()
    }
    assert load_model(tmp_path / "a").config.vocab_size == len(load_tokenizer(tmp_path / "a")) <= 70
