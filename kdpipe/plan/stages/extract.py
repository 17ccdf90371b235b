"""`extract`: a student from some of a model's blocks."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from kdpipe.config.settings.base import ModelName, StageSettings
from kdpipe.config.settings.bounds import MANY

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
