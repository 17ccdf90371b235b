"""`create`: an untrained model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kdpipe.anatomy.families import checked_shape
from kdpipe.anatomy.layers import check_depth
from kdpipe.anatomy.shapes import Shape
from kdpipe.config.mistakes import SettingError
from kdpipe.config.settings.architecture import Architecture, ArchitectureBase
from kdpipe.config.settings.base import ModelName, StageSettings
from kdpipe.errors import KdpipeError
from kdpipe.plan.entries import Facts
from kdpipe.plan.model_stage import Known, ModelStage
from kdpipe.plan.stage import HOUR


class CreateSettings(StageSettings):
    """A model with random weights.

    Args:
        architecture: its family and shape.
        tokenizer: the node whose tokenizer it uses.
    """

    architecture: Architecture
    tokenizer: ModelName


class Create(ModelStage[CreateSettings]):
    """Make a model with random weights."""

    settings = CreateSettings
    runs_int8 = ("tokenizer",)
    one_thread = True
    short = True
    longest = HOUR

    def facts(self, name: str, settings: CreateSettings, known: Known) -> Facts:
        tokenizer = known.facts[settings.tokenizer]
        shape = architecture_shape(settings.architecture, tokenizer.shape.vocabulary)
        segments, masks = tokenizer.pair_segments, tokenizer.masks
        return Facts(tokenizer.tokenizer, shape, head="", pair_segments=segments, masks=masks)

    def in_small(self, settings: CreateSettings, factor: int, sizes: Mapping[str, int]) -> dict[str, Any]:
        return narrow(super().in_small(settings, factor, sizes), sizes)


def architecture_shape(architecture: ArchitectureBase, vocabulary: int | None) -> Shape:
    """Return the shape of a model that is made from nothing.

    Raises:
        SettingError: there can be no such model.
    """
    try:
        # The tokenizer gives the vocabulary, and says whether there is one.
        shape = checked_shape(architecture.family, architecture.options)
        check_depth(shape.depth or 0)
    except KdpipeError as error:
        raise SettingError("architecture", str(error)) from None
    return replace(shape, vocabulary=vocabulary)


def narrow(settings: dict[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return settings with the sizes of a narrow model in their architecture."""
    return settings | {"architecture": settings["architecture"] | sizes}
