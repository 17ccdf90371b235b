"""Add noise to the weights of a model."""

from pathlib import Path

import torch

from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace
from tests.own.plan import NoiseSettings


def run(settings: NoiseSettings, workspace: Workspace, *, model: Path) -> None:
    """Write the model with noise on its weights."""
    noisy, generator = load_model(model), torch.Generator().manual_seed(settings.seed)
    with torch.no_grad():
        for weight in noisy.parameters():
            weight.add_(settings.scale * torch.randn(weight.shape, generator=generator))
    with workspace.artifact() as draft:
        save_model(noisy, load_tokenizer(model), draft.folder)


if __name__ == "__main__":
    main(run)
