"""Make a model with random weights."""

from pathlib import Path

from kdpipe.models.creation import create_body, special_tokens
from kdpipe.models.loading import load_tokenizer, save_model
from kdpipe.plan.stages.create import CreateSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace


def run(settings: CreateSettings, workspace: Workspace, *, tokenizer: Path) -> None:
    """Draw the weights of a model without a head, for the vocabulary of a node's tokenizer."""
    loaded = load_tokenizer(tokenizer)
    options = {**special_tokens(loaded), **settings.architecture.options}
    model = create_body(settings.architecture.family, options, len(loaded), settings.seed)
    with workspace.artifact() as draft:
        save_model(model, loaded, draft.folder)


if __name__ == "__main__":
    main(run)
