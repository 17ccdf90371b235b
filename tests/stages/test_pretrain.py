"""A model and its tokenizer from nothing but text."""

import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.ownership import state_name
from kdpipe.artifacts.sums import read_sums
from kdpipe.catalog import resolve
from kdpipe.data.source import Example
from kdpipe.data.sources.text import TextSource
from kdpipe.errors import DataError
from kdpipe.models.loading import load_model, load_tokenizer
from kdpipe.plan.stages.preprocess import PreprocessSettings
from kdpipe.plan.stages.pretrain import PretrainSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.pretrain import run
from tests.conftest import ARCHITECTURE
from tests.models.conftest import SHAPES
from tests.stages.conftest import job_for

GIVEN = {
    "dataset": "text",
    "architecture": {"family": "bert", **ARCHITECTURE},
    "vocab_size": 70,
    "training": {"max_steps": 3, "per_device_train_batch_size": 8},
}


def test_a_model_and_its_tokenizer_are_made_the_same_twice(text_files: Path, tmp_path: Path) -> None:
    source = {"source": "text", "path": str(text_files)}
    dataset = PreprocessSettings(sources=(source,), task="language_modeling", max_length=32)
    settings = PretrainSettings.model_validate(GIVEN)
    for name in ("a", "b"):
        run(settings, dataset, job_for(tmp_path / name))
    assert read_sums(tmp_path / "a") == read_sums(tmp_path / "b")
    assert read_manifest(tmp_path / "a")["source_files"].keys() == {
        str(path) for path in text_files.iterdir()
    }
    assert load_model(tmp_path / "a").config.vocab_size == len(load_tokenizer(tmp_path / "a")) <= 70


def test_text_that_is_edited_while_it_is_read(
    text_files: Path, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, read = tmp_path / "train.txt", TextSource.read
    shutil.copy(text_files / "train.txt", file)
    time.sleep(0.03)

    def edited(source: TextSource, split: str) -> Iterator[Example]:
        examples = read(source, split)
        yield next(examples)
        file.write_text(file.read_text().replace("good", "dull"))
        yield from examples

    monkeypatch.setattr(TextSource, "read", edited)
    dataset = PreprocessSettings(
        sources=({"source": "text", "path": str(file)},), task="language_modeling", max_length=32
    )
    with pytest.raises(DataError, match=r"train\.txt: .* it was changed while it was read"):
        run(PretrainSettings.model_validate(GIVEN), dataset, workspace)
    assert not list(workspace.state.rglob("*.arrow"))


def test_encoded_text_lies_where_the_next_run_removes_it(
    text_files: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"source": "text", "path": str(text_files)}
    dataset = PreprocessSettings(sources=(source,), task="language_modeling", max_length=32)
    encoded: list[Path] = []

    def kill(*_: object) -> None:
        encoded.extend(workspace.state.rglob("train.arrow"))
        raise KeyboardInterrupt

    monkeypatch.setattr("kdpipe.stages.pretrain.create_language_model", kill)
    # Nor is there a folder of temporary files that it would fill.
    monkeypatch.setattr("tempfile.tempdir", str(workspace.state / "no such folder"))
    with pytest.raises(KeyboardInterrupt):
        run(PretrainSettings.model_validate(GIVEN), dataset, workspace)
    (file,) = encoded
    assert file.parent.parent == workspace.state / "drafts" / state_name(workspace.output, workspace.state)


CHINESE = [
    "這間酒店的環境和服務都不錯,房間寬敞明亮,早餐也很好吃。",
    "这本书写得很好,读完以后让人想再读一遍,值得推荐给朋友。",
    "电影的故事太长了,演员说话的声音又小,看到一半就想睡觉!",
]


def test_chinese_is_read_character_by_character(
    tmp_path: Path, write: Callable[..., Path], workspace: Workspace
) -> None:
    source = {"source": "text", "train": str(write("\n".join(CHINESE) + "\n", "train.txt"))}
    dataset = PreprocessSettings(sources=(source,), task="language_modeling", max_length=64)
    given = {
        "dataset": "text",
        "architecture": {"family": "bert", **ARCHITECTURE},
        "vocab_size": 200,
        "training": {"max_steps": 1, "per_device_train_batch_size": 3},
    }
    run(PretrainSettings.model_validate(given), dataset, workspace)
    tokenizer = load_tokenizer(workspace.output)
    for line in CHINESE:
        assert tokenizer.tokenize(line) == list(line)


@pytest.mark.parametrize("family", ["distilbert", "electra", "roberta"])
def test_every_family_with_a_masked_head_is_trained(family: str, text_files: Path, tmp_path: Path) -> None:
    source = {"source": "text", "path": str(text_files)}
    dataset = PreprocessSettings(sources=(source,), task="language_modeling", max_length=32)
    given = {
        "dataset": "text",
        "architecture": {"family": family, **SHAPES[family]},
        "vocab_size": 70,
        "training": {"max_steps": 30, "per_device_train_batch_size": 8, "learning_rate": 1e-2},
    }
    run(PretrainSettings.model_validate(given), dataset, job_for(tmp_path / "made"))
    history = pq.read_table(tmp_path / "made" / "history.parquet").to_pandas()
    model = load_model(tmp_path / "made")
    assert type(model).__name__ == resolve("families", family).heads["ForMaskedLM"][0]
    assert history[history["name"] == "loss"]["value"].iloc[-1] < math.log(model.config.vocab_size)


def test_a_run_that_was_killed_does_not_train_its_tokenizer_or_encode_its_text_again(
    text_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"source": "text", "path": str(text_files)}
    dataset = PreprocessSettings(sources=(source,), task="language_modeling", max_length=32)
    settings = PretrainSettings.model_validate(GIVEN)
    run(settings, dataset, job_for(tmp_path / "undisturbed"))

    def refuse(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("kdpipe.stages.pretrain.create_language_model", refuse)
        with pytest.raises(KeyboardInterrupt):
            run(settings, dataset, job_for(tmp_path / "killed"))
    monkeypatch.setattr("kdpipe.stages.pretrain.train_vocabulary", refuse)
    monkeypatch.setattr("kdpipe.data.pipeline.Pipeline.encode", refuse)
    run(settings, dataset, job_for(tmp_path / "killed"))
    assert read_sums(tmp_path / "killed") == read_sums(tmp_path / "undisturbed")
