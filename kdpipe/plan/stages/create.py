"""`create`: an untrained model."""

from kdpipe.config.settings.architecture import Architecture
from kdpipe.config.settings.base import ModelName, StageSettings


class CreateSettings(StageSettings):
    """A model with random weights.

    Args:
        architecture: its family and shape.
        tokenizer: the node whose tokenizer it uses.
    """

    architecture: Architecture
    tokenizer: ModelName
