"""An untrained model for a node's tokenizer."""

from pathlib import Path

from kdpipe.config.settings.create import CreateSettings
from kdpipe.job import Job
from kdpipe.models.loading import load_model, load_tokenizer
from kdpipe.stages.create import run


def test_the_shape_is_the_settings_and_the_vocabulary_the_tokenizers(language_model: Path, job: Job) -> None:
    architecture = {"family": "distilbert", "dim": 8, "n_heads": 2, "n_layers": 1, "hidden_dim": 16}
    settings = CreateSettings.model_validate({"architecture": architecture, "tokenizer": "base", "seed": 3})
    run(settings, job, tokenizer=language_model)
    model = load_model(job.output)
    assert (model.config.dim, model.config.n_layers) == (8, 1)
    assert model.config.vocab_size == len(load_tokenizer(job.output)) == len(load_tokenizer(language_model))
