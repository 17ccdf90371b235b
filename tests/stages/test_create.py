"""An untrained model for a node's tokenizer."""

from pathlib import Path

import pytest

from kdpipe.models.family import depth_of
from kdpipe.models.loading import load_model, load_tokenizer
from kdpipe.plan.stages.create import CreateSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.create import run
from tests.models.conftest import SHAPES


def test_the_shape_is_the_settings_and_the_vocabulary_the_tokenizers(
    language_model: Path, workspace: Workspace
) -> None:
    architecture = {"family": "distilbert", "dim": 8, "n_heads": 2, "n_layers": 1, "hidden_dim": 16}
    settings = CreateSettings.model_validate({"architecture": architecture, "tokenizer": "base", "seed": 3})
    run(settings, workspace, tokenizer=language_model)
    model = load_model(workspace.output)
    assert (model.config.dim, model.config.n_layers) == (8, 1)
    assert (
        model.config.vocab_size
        == len(load_tokenizer(workspace.output))
        == len(load_tokenizer(language_model))
    )


@pytest.mark.parametrize("name", [*SHAPES, "t5"])
def test_models_of_every_family_are_made_for_a_nodes_tokenizer(
    name: str, language_model: Path, workspace: Workspace
) -> None:
    architecture = {"family": name, **(SHAPES.get(name) or SHAPES["enct5"])}
    run(
        CreateSettings.model_validate({"architecture": architecture, "tokenizer": "base"}),
        workspace,
        tokenizer=language_model,
    )
    model, tokenizer = load_model(workspace.output), load_tokenizer(workspace.output)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert depth_of(model) == 3
