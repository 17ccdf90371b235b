"""Loss terms: what every term takes, and the options of the loss that it names."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from kdpipe import catalog
from kdpipe.anatomy.layers import match_layers
from kdpipe.anatomy.signals import SIGNAL_KINDS, Places, first_layer, takes_modules
from kdpipe.config.settings.base import NotEmpty, Settings
from kdpipe.config.settings.bounds import MANY
from kdpipe.config.settings.explanation import mistake, read_name
from kdpipe.config.settings.presets import expanded
from kdpipe.config.settings.schedules import Weight
from kdpipe.config.signatures import constructor_options, options_model
from kdpipe.declarations import constants, docstring
from kdpipe.errors import suggest

ModuleName = Annotated[str, Field(min_length=1)]
Side = int | tuple[int, int]
LayerMap = str | list[tuple[Side, Side]]
PlacePairs = tuple[tuple[Places, Places], ...]


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


class TermSettings(Settings):
    """What every loss term takes.

    Args:
        loss: its name in the catalog.
        weight: its factor in the sum; a term of weight 0 is not computed. A mapping changes the factor over
            the training, such as {value: 1, schedule: linear, end: 0}.
        positions: which positions count: `all` real tokens, or `masked`: the tokens with a label (where
            words have tags, their first pieces). The default is `masked` for losses on logits, and `all` for
            losses on other signals.
        run: the run of teacher and student that is read: the `base` run, or the `counterfactual` run that the
            `interchange` of the node says.
        teacher: the teacher that is read, of several; losses on logits read the mean of all by default.
        dataset: the dataset that the term is for, of several; by default all.
    """

    loss: str
    weight: Weight = 1.0
    positions: Literal["all", "masked"] | None = None
    run: Literal["base", "counterfactual"] = "base"
    teacher: str | None = None
    dataset: str | None = None

    @property
    def declared(self) -> dict[str, Any]:
        """What the loss declares (`kdpipe.losses.loss`)."""
        return constants(catalog.LOSSES[self.loss])

    @property
    def teacher_kinds(self) -> tuple[str, ...]:
        """The kinds of signals that the loss reads of a teacher."""
        return self.declared["teacher_kinds"]  # type: ignore[no-any-return]

    @property
    def student_kinds(self) -> tuple[str, ...]:
        """The kinds of signals that the loss reads of the student."""
        return self.declared["student_kinds"]  # type: ignore[no-any-return]

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss compares with a teacher rather than with labels."""
        return bool(self.teacher_kinds)

    @property
    def takes_mean(self) -> bool:
        """Whether the loss can compare with the mean of several teachers."""
        return self.teacher_kinds == ("logits",)

    @property
    def matched(self) -> str:
        """What says which places are compared, "" where there is but one."""
        return ""

    @property
    def projection_settings(self) -> ProjectionSettings | None:
        """The map from the student's width to the teacher's, if there is one."""
        return None

    def pairs(self, teacher_depth: int | None, student_depth: int | None) -> PlacePairs | None:
        """Return the (teacher, student) places that are compared; None while a depth they need is unknown."""
        return ((None, None),)

    @property
    def options(self) -> dict[str, Any]:
        """The options of the loss itself, as its constructor takes them."""
        return {name: getattr(self, name) for name in constructor_options(catalog.LOSSES[self.loss])}


class OutputTermSettings(TermSettings):
    """What a term on logits of both sides takes besides.

    Args:
        top_k: the number of the teacher's largest logits that are compared and stored, while all others count
            as one; null for all logits.
        probability_shift: the teacher's largest logit changes places with the logit of the label.
    """

    top_k: Annotated[int, Field(ge=1, le=MANY)] | None = None
    probability_shift: bool = False

    @property
    def teacher_kinds(self) -> tuple[str, ...]:
        return ("top_logits", "top_entries") if self.top_k else super().teacher_kinds

    def pairs(self, teacher_depth: int | None, student_depth: int | None) -> PlacePairs | None:
        return ((self.top_k, None),)


class LayerTermSettings(TermSettings):
    """What a term on signals of layers takes besides.

    Args:
        layers: (teacher, student) pairs of layers, or the name of a map (`kdpipe.anatomy.layers`); a loss
            that compares two states of a model takes [[t1, t2], [s1, s2]] as a pair, too.
        over_pairs: whether the term is the `mean` or the `sum` over its pairs.
    """

    layers: LayerMap = "last"
    over_pairs: Literal["mean", "sum"] = "mean"

    @property
    def matched(self) -> str:
        return str(self.layers)

    def pairs(self, teacher_depth: int | None, student_depth: int | None) -> PlacePairs | None:
        if teacher_depth is None or student_depth is None:
            return None if isinstance(self.layers, str) else tuple(self.layers)
        first, states = first_layer(self.student_kinds), self.declared["states"]
        return match_layers(self.layers, teacher_depth, student_depth, first, states)


class BlocksTermSettings(TermSettings):
    """A term that compares all blocks of both models at once."""

    @property
    def matched(self) -> str:
        return "all"

    def pairs(self, teacher_depth: int | None, student_depth: int | None) -> PlacePairs | None:
        if teacher_depth is None or student_depth is None:
            return None
        return match_layers("all", teacher_depth, student_depth, states="all")


class StateTermSettings(LayerTermSettings):
    """What a term on hidden states takes besides.

    Args:
        modules: (teacher, student) pairs of names of modules in the bodies, whose outputs are compared in
            place of the states of `layers`.
    """

    modules: Annotated[list[tuple[ModuleName, ModuleName]], NotEmpty] | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        # A dump of settings, as a stage reads it, has the default too.
        if self.modules and self.layers != "last":
            raise mistake(("layers",), "`modules` says what is compared; remove one of them")
        return self

    @property
    def matched(self) -> str:
        return "modules" if self.modules else super().matched

    def pairs(self, teacher_depth: int | None, student_depth: int | None) -> PlacePairs | None:
        return tuple(self.modules) if self.modules else super().pairs(teacher_depth, student_depth)


class ProjectedTermSettings(TermSettings):
    """What a term takes besides that compares rows of one width.

    Args:
        projection: maps the student's states to the teacher's width.
    """

    projection: ProjectionSettings | None = None

    @property
    def projection_settings(self) -> ProjectionSettings | None:
        return self.projection


@cache
def term_settings(loss: str) -> type[TermSettings]:
    """Return the settings model of the terms that use a loss of the catalog."""
    target = catalog.LOSSES[loss]
    declared = constants(target)
    bases = [_base(declared)]
    bases += [ProjectedTermSettings] if declared["same_width"] else []
    return options_model(f"{loss}_term", tuple(bases), constructor_options(target), docstring(target))


def _base(declared: Mapping[str, Any]) -> type[TermSettings]:
    """Return what a term takes by the places that its loss compares."""
    kinds = declared["student_kinds"]
    if SIGNAL_KINDS[kinds[0]].placed == "once":
        return OutputTermSettings if declared["teacher_kinds"] else TermSettings
    if declared["states"] == "all":
        return BlocksTermSettings
    return StateTermSettings if takes_modules(kinds) else LayerTermSettings


def _validate(value: Any) -> Any:
    if isinstance(value, TermSettings):
        return value
    if isinstance(value, dict) and "preset" in value:
        value = expanded(value)
    loss = read_name(value, "loss", catalog.LOSSES)
    if fault := _kinds_fault(loss):
        raise mistake(("loss",), fault)
    return term_settings(loss).model_validate(value)


def _kinds_fault(loss: str) -> str:
    """Return what is wrong with the kinds of signals that a loss declares, or nothing."""
    declared = constants(catalog.LOSSES[loss])
    if not declared.get("student_kinds"):
        return f"{catalog.LOSSES[loss]} declares no `student_kinds`, the signals that it reads of the student"
    kinds = [*declared["student_kinds"], *declared["teacher_kinds"]]
    for kind in kinds:
        if kind not in SIGNAL_KINDS:
            hint = suggest(kind, SIGNAL_KINDS)
            return f"{catalog.LOSSES[loss]} reads the kind {kind!r}, which is not known; {hint}"
        if SIGNAL_KINDS[kind].placed == "modules":
            what = "declare `hidden_states`; `modules` of a term then names modules"
            return f"{catalog.LOSSES[loss]} reads the kind {kind!r}; {what}"
    if len({SIGNAL_KINDS[kind].placed for kind in kinds}) > 1:
        what = "a loss reads logits, or signals of layers"
        return f"{catalog.LOSSES[loss]} reads {' and '.join(dict.fromkeys(kinds))}; {what}"
    return ""


LossTerm = Annotated[
    TermSettings,
    BeforeValidator(_validate),
    PlainSerializer(lambda term: term.model_dump(), return_type=dict),
]
LossTerms = Annotated[tuple[LossTerm, ...], NotEmpty]
