"""Loss terms: what every term takes, and the options of the loss that it names."""

from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from kdpipe import catalog
from kdpipe.anatomy.layers import match_layers
from kdpipe.anatomy.signals import SIGNAL_KINDS, Place, first_layer
from kdpipe.config.settings.base import NotEmpty, Settings, refuse
from kdpipe.config.settings.bounds import MANY
from kdpipe.config.settings.explanation import mistake, read_name
from kdpipe.config.signatures import constructor_options, options_model
from kdpipe.declarations import constants, docstring
from kdpipe.errors import suggest

LayerMap = str | list[tuple[int, int]]
LATER = refuse("`counterfactual` is not available in this version", lambda run: run == "counterfactual")
Weight = Annotated[float, Field(ge=0, le=MANY)]
PlacePairs = tuple[tuple[Place, Place], ...]


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


class WeightSettings(Settings):
    """A weight that changes over the training, by the share of its steps that is done.

    Args:
        value: the weight that the shape starts from, or scales.
        schedule: `linear` and `cosine` go from the value to `end`; `linear_growth` goes from 0 to the value,
            `linear_decay` from the value to 0; `steps` multiplies the value.
        end: the weight at the end of `linear` and `cosine`.
        at: for `steps`, the shares of the training from which the factors hold, in rising order.
        factors: for `steps`, the factors of the value (not of each other), one for each share.
        compat: `textbrewer` takes the value for the first step alone, and then 1 in its place, as TextBrewer
            does.
    """

    value: Weight = 1.0
    schedule: Literal["linear", "cosine", "linear_growth", "linear_decay", "steps"]
    end: Weight = 0.0
    at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    factors: tuple[Weight, ...] = ()
    compat: Literal["textbrewer"] | None = None

    @model_validator(mode="after")
    def _fits_its_shape(self) -> Self:
        # A dump of settings, as a stage reads it, has the fields with their defaults too.
        if self.end and self.schedule not in ("linear", "cosine"):
            raise mistake(("end",), f"{self.schedule!r} has no `end`; remove this")
        for name in ("at", "factors"):
            if getattr(self, name) and self.schedule != "steps":
                raise mistake((name,), f"only `steps` has {name!r}; remove this")
        if self.compat and not self.schedule.startswith("linear_"):
            raise mistake(("compat",), f"TextBrewer has no {self.schedule!r}; remove this")
        if self.schedule == "steps" and not self.at:
            raise mistake(("at",), "is required: the shares of the training at which the weight changes")
        if list(self.at) != sorted(set(self.at)):
            raise mistake(("at",), f"expected rising shares, found {', '.join(map(str, self.at))}")
        if len(self.factors) != len(self.at):
            what = f"expected one for each of the {len(self.at)} shares of `at`, found {len(self.factors)}"
            raise mistake(("factors",), what)
        if not any((self.value, self.end)):
            raise mistake(("value",), "the weight would be 0 at every step")
        return self


def _read_weight(value: Any) -> Any:
    return WeightSettings.model_validate(value) if isinstance(value, dict) else value


class TermSettings(Settings):
    """What every loss term takes.

    Args:
        loss: its name in the catalog.
        weight: its factor in the sum; a term of weight 0 is not computed. A mapping changes the factor over
            the training, such as {value: 1, schedule: linear, end: 0}.
        positions: which positions count: `all` real tokens, or `masked`: the tokens with a label (where
            words have tags, their first pieces). The default is `masked` for losses on logits, and `all` for
            losses on other signals.
        run: the forward run that is read.
    """

    loss: str
    weight: Annotated[Weight | WeightSettings, BeforeValidator(_read_weight)] = 1.0
    positions: Literal["all", "masked"] | None = None
    run: Annotated[Literal["base"], BeforeValidator(LATER)] = "base"

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
    def taught_by(self) -> str:
        """The setting that names the teacher with which the loss compares."""
        return "teacher"

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss compares with a teacher rather than with labels."""
        return bool(self.teacher_kinds)

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


class LayerTermSettings(TermSettings):
    """What a term on signals of layers takes besides.

    Args:
        layers: (teacher, student) pairs of layers, or the name of a map (`kdpipe.anatomy.layers`).
    """

    layers: LayerMap = "last"

    @property
    def matched(self) -> str:
        return str(self.layers)

    def pairs(self, teacher_depth: int | None, student_depth: int | None) -> PlacePairs | None:
        if teacher_depth is None or student_depth is None:
            return None if isinstance(self.layers, str) else tuple(self.layers)
        return match_layers(self.layers, teacher_depth, student_depth, first_layer(self.student_kinds))


class ModuleTermSettings(TermSettings):
    """What a term on outputs of modules takes besides.

    Args:
        modules: (teacher, student) pairs of names of modules in the bodies.
    """

    modules: Annotated[list[tuple[str, str]], NotEmpty]

    @property
    def matched(self) -> str:
        return str(self.modules)

    def pairs(self, teacher_depth: int | None, student_depth: int | None) -> PlacePairs | None:
        return tuple(self.modules)


class ProjectedTermSettings(TermSettings):
    """What a term takes besides that compares rows of one width.

    Args:
        projection: maps the student's states to the teacher's width.
    """

    projection: ProjectionSettings | None = None

    @property
    def projection_settings(self) -> ProjectionSettings | None:
        return self.projection


PLACED: dict[str, type[TermSettings]] = {
    "once": TermSettings,
    "layers": LayerTermSettings,
    "modules": ModuleTermSettings,
}


@cache
def term_settings(loss: str) -> type[TermSettings]:
    """Return the settings model of the terms that use a loss of the catalog."""
    target = catalog.LOSSES[loss]
    declared = constants(target)
    bases = [PLACED[SIGNAL_KINDS[declared["student_kinds"][0]].placed]]
    bases += [ProjectedTermSettings] if declared["same_width"] else []
    return options_model(f"{loss}_term", tuple(bases), constructor_options(target), docstring(target))


def _validate(value: Any) -> Any:
    if isinstance(value, TermSettings):
        return value
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
    if len({SIGNAL_KINDS[kind].placed for kind in kinds}) > 1:
        what = "a loss reads logits, signals of layers, or outputs of modules"
        return f"{catalog.LOSSES[loss]} reads {' and '.join(dict.fromkeys(kinds))}; {what}"
    return ""


LossTerm = Annotated[
    TermSettings,
    BeforeValidator(_validate),
    PlainSerializer(lambda term: term.model_dump(), return_type=dict),
]
LossTerms = Annotated[tuple[LossTerm, ...], NotEmpty]
