"""Make a student of some of a model's blocks."""

import logging
from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel

from kdpipe.anatomy.layers import choose_blocks
from kdpipe.models.extraction import extract_as, extract_blocks
from kdpipe.models.family import depth_of
from kdpipe.models.loading import load_tokenizer
from kdpipe.models.multitask import load_parts, save_parts
from kdpipe.plan.stages.extract import ExtractSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)
# What DistilBERT does with a state before it is compared with the vocabulary.
VOCAB_TRANSFORM = ("vocab_transform", "vocab_layer_norm")


def run(settings: ExtractSettings, workspace: Workspace, *, model: Path) -> None:
    """Copy blocks, embeddings and head, or heads."""
    sources = load_parts(model)
    depth = depth_of(next(iter(sources.values())))
    blocks = choose_blocks(settings.layers, depth)
    LOG.info("blocks %s of %d are copied", list(blocks), depth)
    with workspace.artifact() as draft:
        students = {name: _student(settings, source, blocks) for name, source in sources.items()}
        save_parts(students, load_tokenizer(model), draft.folder)
        draft.record(blocks=list(blocks))


def _student(settings: ExtractSettings, source: PreTrainedModel, blocks: Sequence[int]) -> PreTrainedModel:
    if settings.architecture == "same":
        return extract_blocks(source, blocks)
    without = () if settings.vocab_transform else VOCAB_TRANSFORM
    return extract_as(settings.architecture, source, blocks, settings.seed, without)


if __name__ == "__main__":
    main(run)
