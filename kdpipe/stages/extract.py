"""Make a student of some of a model's blocks."""

import logging
from pathlib import Path

from kdpipe.anatomy.layers import choose_blocks
from kdpipe.models.extraction import extract_as, extract_blocks
from kdpipe.models.family import depth_of
from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)
# What DistilBERT does with a state before it is compared with the vocabulary.
VOCAB_TRANSFORM = ("vocab_transform", "vocab_layer_norm")


def run(settings: ExtractSettings, workspace: Workspace, *, model: Path) -> None:
    """Copy blocks, embeddings and head."""
    source = load_model(model)
    blocks = choose_blocks(settings.layers, depth_of(source))
    LOG.info("blocks %s of %d are copied", list(blocks), depth_of(source))
    if settings.architecture == "same":
        student = extract_blocks(source, blocks)
    else:
        without = () if settings.vocab_transform else VOCAB_TRANSFORM
        student = extract_as(settings.architecture, source, blocks, settings.seed, without)
    with workspace.artifact() as draft:
        save_model(student, load_tokenizer(model), draft.folder)
        draft.record(blocks=list(blocks))


if __name__ == "__main__":
    main(run)
