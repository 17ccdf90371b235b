"""`extract`: a student from some of a model's blocks."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from kdpipe.anatomy.families import family_facts
from kdpipe.anatomy.layers import count_blocks
from kdpipe.config.mistakes import SettingError
from kdpipe.config.settings.base import ModelName, StageSettings
from kdpipe.config.settings.bounds import MANY
from kdpipe.errors import KdpipeError
from kdpipe.plan.entries import Facts
from kdpipe.plan.model_stage import Known, ModelStage
from kdpipe.plan.pruning import within
from kdpipe.plan.stage import HOUR

BlockChoice = str | list[Annotated[int, Field(ge=0, le=MANY)]]


class ExtractSettings(StageSettings):
    """A student whose blocks are copies of some of a model's.

    Args:
        model: the model to copy from.
        layers: block indices from 0, or `first:n`, `spaced:n`, `distilbert:n` (`kdpipe.anatomy.layers`).
        architecture: `same`, or the family of the student.
        vocab_transform: for DistilBERT, whether the head's dense transform is copied too; `false` starts
            it at random, as the published script does unless told otherwise.
    """

    model: ModelName
    layers: BlockChoice
    architecture: Literal["same", "distilbert"] = "same"
    vocab_transform: bool = True

    @model_validator(mode="after")
    def _copy_what_there_is(self) -> Self:
        if self.architecture == "same" and not self.vocab_transform:
            message = "`vocab_transform: false` is for `architecture: distilbert` only"
            raise PydanticCustomError("vocab_transform", message)
        return self


class Extract(ModelStage[ExtractSettings]):
    """Copy some of a model's blocks into a student."""

    settings = ExtractSettings
    keeps_head_of = "model"
    one_thread = True
    short = True
    longest = HOUR

    def facts(self, name: str, settings: ExtractSettings, known: Known) -> Facts:
        model = known.facts[settings.model]
        family = model.shape.family if settings.architecture == "same" else settings.architecture
        if settings.architecture != "same":
            _check_architecture(settings.architecture, model)
        try:
            depth = count_blocks(settings.layers, model.shape.depth)
        except KdpipeError as error:
            raise SettingError("layers", str(error)) from None
        segments = model.shape.segments if settings.architecture == "same" else None
        shape = replace(model.shape, depth=depth, family=family, segments=segments)
        return replace(model, shape=shape, units=within(model.units, shape), deep_as="")


def _check_architecture(family: str, model: Facts) -> None:
    """Raise SettingError if students of a family cannot be copied out of a model."""
    sources = family_facts(family)["copied_from"]
    if model.shape.family not in (None, *sources):
        what = f"{family} students are extracted from {' or '.join(sources)} models"
        raise SettingError("architecture", f"{what}, found {model.shape.family}")
    if model.ranked is not False or model.embedding_rank:
        what = f"{family} students have no blocks or embeddings of the shapes of a pruned"
        raise SettingError("architecture", f"{what} model's; extract with `same`")
