"""Loading: from folders and packages, with the weights that were asked for."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import file_digest, read_sums, verify
from kdpipe.errors import DataError, KdpipeError, ModelError
from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.plan.stages.load import LoadSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages import load
from kdpipe.stages.load import run
from tests.models.conftest import tiny
from tests.stages.conftest import job_for


def test_a_folder_is_copied_with_its_head(classifier: Path, workspace: Workspace) -> None:
    run(LoadSettings(path=str(classifier)), workspace)
    verify(workspace.output)
    ours, theirs = load_model(classifier), load_model(workspace.output)
    assert type(ours) is type(theirs)
    assert torch.equal(ours.classifier.weight, theirs.classifier.weight)
    assert (workspace.output / "tokenizer.json").exists()
    weights = classifier / "model.safetensors"
    assert read_manifest(workspace.output)["source_files"][str(weights)] == file_digest(weights)


def test_a_package_is_found_without_importing_it(
    classifier: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "path" / "some_model_package"
    shutil.copytree(classifier, package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(package.parent))
    run(LoadSettings(path="package:some_model_package/model"), workspace)
    assert verify(workspace.output)
    assert "source_files" not in read_manifest(workspace.output)


def test_weights_that_are_edited_while_they_are_read_are_refused(
    classifier: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(classifier, tmp_path / "edited")
    weights = folder / "model.safetensors"

    def edit(seen: Path) -> object:
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        return load_tokenizer(seen)

    monkeypatch.setattr(load, "load_tokenizer", edit)
    with pytest.raises(DataError, match=r"model\.safetensors: .* it was changed while it was read"):
        run(LoadSettings(path=str(folder)), workspace)
    assert not workspace.output.exists()


def test_the_right_digest_is_accepted(classifier: Path, workspace: Workspace) -> None:
    run(LoadSettings(path=str(classifier), sha256=file_digest(classifier / "model.safetensors")), workspace)
    assert verify(workspace.output)


def test_a_wrong_digest_is_refused_and_nothing_is_written(classifier: Path, workspace: Workspace) -> None:
    with pytest.raises(ModelError, match="expected sha256 00"):
        run(LoadSettings(path=str(classifier), sha256="0" * 64), workspace)
    assert not workspace.output.exists()


def test_a_pooler_that_the_weights_lack_is_drawn_from_the_seed(language_model: Path, tmp_path: Path) -> None:
    folder, model = tmp_path / "body", load_model(language_model)
    save_model(model.base_model, load_tokenizer(language_model), folder)
    sums = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(LoadSettings(path=str(folder), seed=seed), job_for(tmp_path / name))
        sums.append(read_sums(tmp_path / name)["model.safetensors"])
    assert sums[0] == sums[1] != sums[2]


def test_labels_are_written_with_the_model(classifier: Path, workspace: Workspace) -> None:
    run(LoadSettings(path=str(classifier), labels=("bad", "good")), workspace)
    config = json.loads((workspace.output / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good"}
    assert config["label2id"] == {"bad": 0, "good": 1}
    assert torch.equal(
        load_model(workspace.output).classifier.weight, load_model(classifier).classifier.weight
    )


def test_as_many_labels_as_outputs_are_needed(classifier: Path, workspace: Workspace) -> None:
    with pytest.raises(ModelError, match="labels: found 1"):
        run(LoadSettings(path=str(classifier), labels=("good",)), workspace)
    assert not workspace.output.exists()


def test_a_causal_model_and_its_tokenizer_agree_on_padding(
    language_model: Path, workspace: Workspace, tmp_path: Path
) -> None:
    folder, tokenizer = tmp_path / "gpt2", load_tokenizer(language_model)
    tokenizer.eos_token, tokenizer.pad_token = "[SEP]", None
    save_model(tiny("gpt2", len(tokenizer), pad_token_id=None), tokenizer, folder)
    assert load_tokenizer(folder).pad_token is None
    run(LoadSettings(path=str(folder)), workspace)
    padding = tokenizer.convert_tokens_to_ids("[SEP]")
    assert (
        load_tokenizer(workspace.output).pad_token_id
        == load_model(workspace.output).config.pad_token_id
        == padding
    )


def test_a_folder_without_a_tokenizer_is_refused(
    classifier: Path, workspace: Workspace, tmp_path: Path
) -> None:
    folder = shutil.copytree(classifier, tmp_path / "mute")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        ModelError,
        match=r"has no fast tokenizer: .* found tokenizer_config.json; where",
    ):
        run(LoadSettings(path=str(folder)), workspace)


def test_truncated_weights_are_named(classifier: Path, workspace: Workspace, tmp_path: Path) -> None:
    folder = shutil.copytree(classifier, tmp_path / "short")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"its header tells of [\d,]+ bytes of tensors, found"):
        run(LoadSettings(path=str(folder)), workspace)


def test_pickled_weights_are_refused(classifier: Path, workspace: Workspace, tmp_path: Path) -> None:
    folder = shutil.copytree(classifier, tmp_path / "pickled")
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="never pickled"):
        run(LoadSettings(path=str(folder)), workspace)


@pytest.mark.parametrize("path", ["package:no_such_package/model", "/no/such/folder", "no--such/folder"])
def test_what_does_not_exist_is_named(path: str, workspace: Workspace) -> None:
    with pytest.raises(KdpipeError, match=r"no_such_package|no/such/folder|no--such/folder"):
        run(LoadSettings(path=path), workspace)


def test_without_a_network_the_hub_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="'no-such/model' could not be fetched from the Hub"):
        run(LoadSettings(path="no-such/model"), workspace)
