"""What all settings share: frozen, closed to unknown keys, marked where they name models or datasets."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function

from kdpipe import catalog
from kdpipe.anatomy.formats import TOLERANCES, ExportFormat
from kdpipe.config.settings.bounds import Seed
from kdpipe.config.settings.explanation import alternatives, explained
from kdpipe.errors import quoted, suggest

# Settings have numbers in fewer lists and mappings in one another.
LEVELS = 4
# (setting, kind, name) of each model and dataset that settings name.
References = Iterator[tuple[str, Literal["model", "dataset"], str]]
PLAIN_TYPES = {int, float, str, type(None), ...}
# YAML 1.1 takes `5e-5` for a string, as it has no dot.
NUMBER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


class Settings(BaseModel):
    """A section of a config."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @property
    def unread(self) -> tuple[str, ...]:
        """The settings that nothing reads beside the others, so that a change of them changes nothing."""
        return ()

    def references(self) -> References:
        """Yield (setting, kind, name) of each model and dataset that these settings name."""
        for field, reference in reference_fields(type(self)).items():
            value = getattr(self, field)
            if isinstance(value, ByColumn):
                value = value.models
            named = value.values() if isinstance(value, dict) else value or ()
            for name in (value,) if isinstance(value, str) else dict.fromkeys(named):
                yield field, reference.kind, name

    @model_validator(mode="wrap")
    @classmethod
    def _explain_mistakes(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(_read_numbers(cls, value) if isinstance(value, dict) else value)
        except ValidationError as error:
            raise ValidationError.from_exception_data(cls.__name__, explained(cls, value, error)) from None


def read_number(value: Any) -> Any:
    """Return a number for a string that is one in exponent notation, and anything else as it is."""
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def _read_numbers(model: type[BaseModel], value: dict[str, Any]) -> dict[str, Any]:
    texts, numbers = _text_fields(model), _number_fields(model)
    read = {key: item if key in texts else read_number(item) for key, item in value.items()}
    return {key: _mark_switches(item) if key in numbers else item for key, item in read.items()}


class _Switch:
    """A boolean where a number belongs, which pydantic would take for 0 or 1."""

    def __init__(self, value: bool) -> None:
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)


def _mark_switches(value: Any, levels: int = LEVELS) -> Any:
    if isinstance(value, dict) and levels:
        return {key: _mark_switches(item, levels - 1) for key, item in value.items()}
    if isinstance(value, list) and levels:
        return [_mark_switches(item, levels - 1) for item in value]
    return _Switch(value) if isinstance(value, bool) else value


@cache
def _text_fields(model: type[BaseModel]) -> set[str]:
    return {name for name, field in model.model_fields.items() if str in alternatives(field.annotation)}


@cache
def _number_fields(model: type[BaseModel]) -> set[str]:
    """Return the fields that hold numbers, and maybe text or a section of numbers, but no booleans."""
    held = {name: set(_held(field.annotation)) for name, field in model.model_fields.items()}
    return {name for name, kinds in held.items() if kinds & {int, float} and all(map(_holds_no_truth, kinds))}


def _holds_no_truth(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return not any(bool in _held(field.annotation) for field in kind.model_fields.values())
    return kind in PLAIN_TYPES


def _held(annotation: Any) -> Iterator[Any]:
    """Yield the types that values of a type consist of."""
    if get_origin(annotation) is Annotated:
        yield from _held(annotation.__origin__)
    elif get_origin(annotation) in (None, Literal):
        yield annotation if get_origin(annotation) is None else str
    else:
        for part in get_args(annotation):
            yield from _held(part)


@dataclass(frozen=True)
class Reference:
    """Marks a setting that names models or datasets of the config.

    Args:
        kind: which of the two.
        many: whether it is a list.
    """

    kind: Literal["model", "dataset"]
    many: bool = False


def refuse(message: str, applies: Callable[[Any], bool] = lambda value: True) -> Callable[[Any], Any]:
    """Return a validator that refuses some values, or all.

    Args:
        message: what is wrong with the value, which `{}` stands for.
        applies: tells whether a value is refused.
    """

    def validate(value: Any) -> Any:
        if applies(value):
            raise ValueError(message.replace("{}", quoted(value)))
        return value

    return validate


def refused(message: str) -> Any:
    """Return the type of a setting that is refused whatever its value."""
    return Annotated[None, BeforeValidator(refuse(message))]


@dataclass(frozen=True)
class EntryOf:
    """Marks a setting that is a name in the catalog.

    Args:
        kind: the kind of the entry.
    """

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": list(catalog.KINDS[self.kind])}

    def _known(self, value: str) -> str:
        entries = catalog.KINDS[self.kind]
        if value not in entries:
            raise ValueError(f"{quoted(value)} is not known; {suggest(value, entries)}")
        return value


NotEmpty = AfterValidator(refuse("expected at least one", lambda value: not value))


class ByColumn(Settings):
    """A model for each value of a column of the data.

    Args:
        column: the column, which the dataset keeps (`keep`).
        models: the models by value.
    """

    column: str
    models: Annotated[dict[str, str], NotEmpty]


ModelName = Annotated[str, Reference("model")]
DatasetName = Annotated[str, Reference("dataset")]
AS_LIST = BeforeValidator(
    lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=str | tuple[str, ...]
)
ModelNames = Annotated[tuple[str, ...], AS_LIST, NotEmpty, Reference("model", many=True)]
DatasetNames = Annotated[tuple[str, ...], AS_LIST, Reference("dataset", many=True)]
# One dataset, or several that are learned together.
TrainingData = Annotated[str | tuple[str, ...], NotEmpty, Reference("dataset")]
UNAVAILABLE = BeforeValidator(refuse("not available in this version", lambda value: value is not None))
Unavailable = Annotated[None, UNAVAILABLE]


# Settings of what happens to a finished model, which change nothing in it.
AFTERWARDS = ("evaluate", "submit", "export")


def decisive(settings: BaseModel) -> dict[str, Any]:
    """Return the settings that decide the contents of an artifact, for its manifest and for digests.

    The batch of an evaluation does not count: it changes only roundings, and users lower it to save memory.
    Nor does the tracker, which only shows a training.
    """
    unread = settings.unread if isinstance(settings, Settings) else ()
    decisive = settings.model_dump(mode="json", exclude={*AFTERWARDS, "eval_batch_size", *unread})
    if isinstance(training := decisive.get("training"), dict):
        for name in ("per_device_eval_batch_size", "report_to"):
            training.pop(name, None)
    return decisive


def _formats(value: Any) -> Any:
    """Tell configs of earlier versions, in which `export` named datasets, what the setting is called now."""
    names = [value] if isinstance(value, str) else value
    for name in names if isinstance(names, list | tuple) else ():
        if not isinstance(name, str) or name not in TOLERANCES:
            what = f"{quoted(name)} is no format; {suggest(name, TOLERANCES)}"
            raise ValueError(f"{what}; the setting for labels of a dataset's test splits is `submit`")
    if isinstance(names, list | tuple) and len({*names}) < len(names):
        raise ValueError(f"expected each format once, found {quoted(value)}")
    return names


ExportFormats = Annotated[tuple[ExportFormat, ...], BeforeValidator(_formats)]


class StageSettings(Settings):
    """What every stage that makes a model takes.

    Args:
        seed: seed of all draws; the config's where the node gives none.
        evaluate: datasets to score the model on, `[]` for none. By default its own datasets; a pruned model
            takes the datasets of its nearest ancestor, a loaded model the datasets of the nodes that read the
            model, where its head is for the task and the labels.
        submit: datasets whose test splits the model labels, in the files that GLUE takes.
        export: formats for ONNX Runtime in which the model is written, too: `onnx` in float32, `onnx_fp16` in
            float16, `onnx_int8` with weights and activations of 8 bits. Each is scored as the model is.
    """

    seed: Seed = 42
    evaluate: DatasetNames | None = None
    submit: DatasetNames = ()
    export: ExportFormats = ()


@cache
def reference_fields(settings: type[BaseModel]) -> dict[str, Reference]:
    """Return the fields that name models or datasets, with what they name."""
    return {
        name: reference
        for name, field in settings.model_fields.items()
        for reference in _references((field.annotation, *field.metadata))
    }


@cache
def naming_sections(settings: type[BaseModel]) -> dict[str, type[Settings]]:
    """Return the fields that are sections which name models or datasets themselves, with their classes."""
    return {
        name: kind
        for name, field in settings.model_fields.items()
        for kind in alternatives(field.annotation)
        if isinstance(kind, type) and issubclass(kind, Settings) and reference_fields(kind)
    }


def _references(annotations: tuple[Any, ...]) -> Iterator[Reference]:
    for annotation in annotations:
        if isinstance(annotation, Reference):
            yield annotation
        yield from _references(get_args(annotation))
