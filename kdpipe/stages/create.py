"""Make a model with random weights."""

from pathlib import Path

from kdpipe.command import main
from kdpipe.config.settings.create import CreateSettings
from kdpipe.job import Job
from kdpipe.models.creation import create_body, special_tokens
from kdpipe.models.loading import load_tokenizer, save_model


def run(settings: CreateSettings, job: Job, *, tokenizer: Path) -> None:
    """Draw the weights of a model without a head, for the vocabulary of a node's tokenizer."""
    loaded = load_tokenizer(tokenizer)
    options = {**special_tokens(loaded), **settings.architecture.options}
    model = create_body(settings.architecture.family, options, len(loaded), settings.seed)
    with job.artifact() as draft:
        save_model(model, loaded, draft.folder)


if __name__ == "__main__":
    main(run)
