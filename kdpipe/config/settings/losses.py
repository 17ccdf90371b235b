"""Loss terms: what every term takes, and the options of the loss that it names."""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from kdpipe import catalog
from kdpipe.config.settings.base import NotEmpty, Settings
from kdpipe.config.settings.bounds import MANY
from kdpipe.config.settings.explanation import read_name
from kdpipe.config.signatures import constructor_options, options_model
from kdpipe.declarations import constants, docstring

LayerMap = str | list[tuple[int, int]]


class ProjectionSettings(Settings):
    """A map from the student's width to the teacher's.

    Args:
        kind: linear, or linear followed by relu or tanh.
        shared: one projection for all pairs of layers instead of one each.
        learning_rate: its own learning rate; the training's by default.
    """

    kind: Literal["linear", "relu", "tanh"] = "linear"
    shared: bool = False
    learning_rate: float | None = Field(default=None, gt=0, le=1000)


def _refuse_counterfactual(value: Any) -> Any:
    if value == "counterfactual":
        raise PydanticCustomError("unavailable", "`counterfactual` is not available in this version")
    return value


class TermSettings(Settings):
    """What every loss term takes.

    Args:
        loss: its name in the catalog.
        weight: its factor in the sum; a term of weight 0 is not computed.
        positions: which positions count: `all` real tokens, or the `masked` ones, that is those with a label
            (where words have tags, their first pieces). By default these for losses on logits and all for
            losses on hidden states.
        run: the forward run that is read.
    """

    loss: str
    weight: float = Field(default=1.0, ge=0, le=MANY)
    positions: Literal["all", "masked"] | None = None
    run: Annotated[Literal["base"], BeforeValidator(_refuse_counterfactual)] = "base"

    @property
    def signal(self) -> Literal["logits", "hidden_states"]:
        """The output of the models that the loss compares."""
        return constants(catalog.LOSSES[self.loss])["signal"]  # type: ignore[no-any-return]

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss compares with a teacher rather than with labels."""
        return bool(constants(catalog.LOSSES[self.loss])["needs_teacher"])

    @property
    def same_width(self) -> bool:
        """Whether the loss needs states of student and teacher to be equally wide."""
        return bool(constants(catalog.LOSSES[self.loss])["same_width"])

    @property
    def options(self) -> dict[str, Any]:
        """The options of the loss itself, as its constructor takes them."""
        return {name: getattr(self, name) for name in constructor_options(catalog.LOSSES[self.loss])}


class HiddenTermSettings(TermSettings):
    """What a term on hidden states takes besides.

    Args:
        layers: (teacher, student) pairs of hidden states, or the name of a map (`kdpipe.anatomy.layers`).
        projection: maps the student's states to the teacher's width.
    """

    layers: LayerMap = "last"
    projection: ProjectionSettings | None = None


@cache
def term_settings(loss: str) -> type[TermSettings]:
    """Return the settings model of the terms that use a loss of the catalog."""
    target = catalog.LOSSES[loss]
    base = HiddenTermSettings if constants(target)["signal"] == "hidden_states" else TermSettings
    return options_model(f"{loss}_term", base, constructor_options(target), docstring(target))


def _validate(value: Any) -> Any:
    if isinstance(value, TermSettings):
        return value
    loss = read_name(value, "loss", catalog.LOSSES)
    return term_settings(loss).model_validate(value)


LossTerm = Annotated[
    TermSettings,
    BeforeValidator(_validate),
    PlainSerializer(lambda term: term.model_dump(), return_type=dict),
]
LossTerms = Annotated[tuple[LossTerm, ...], NotEmpty]
