"""`load`: a model from a directory, an installed package or the Hub."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from kdpipe.config.paths import possible
from kdpipe.config.settings.base import StageSettings


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((label for index, label in enumerate(labels) if label in labels[:index]), None)
    if twice is not None:
        raise PydanticCustomError("labels", "{twice} is named twice", {"twice": repr(twice)})
    return labels


class LoadSettings(StageSettings):
    """A model that exists already.

    Args:
        path: a directory, `package:IMPORT_NAME/SUBDIR` of an installed package, or a Hub repository.
        revision: commit, tag or branch of a Hub repository.
        sha256: digest that `model.safetensors` must have.
        labels: names of the outputs of its head, in their order; those its own config gives by default.
    """

    path: Annotated[str, AfterValidator(possible)]
    revision: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    labels: Annotated[tuple[str, ...], AfterValidator(_distinct)] | None = Field(default=None, min_length=1)
