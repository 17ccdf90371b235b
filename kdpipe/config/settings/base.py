"""What all settings share: frozen, closed to unknown keys, marked where they name models or datasets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from kdpipe.errors import suggest


class Settings(BaseModel):
    """A section of a config."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @model_validator(mode="wrap")
    @classmethod
    def _suggest_keys(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            details = [_explained(cls, detail) for detail in error.errors()]
            raise ValidationError.from_exception_data(cls.__name__, details) from None


def _explained(model: type[BaseModel], detail: ErrorDetails) -> InitErrorDetails:
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = f"unknown key; {suggest(str(detail['loc'][-1]), model.model_fields)}"
    elif detail["type"] == "missing":
        message = "is required"
    elif detail["type"].endswith(("_parsing", "_type")) and "unknown" not in message:
        message = f"{message[0].lower()}{message[1:]}, found {detail['input']!r}"
    return InitErrorDetails(
        type=PydanticCustomError("explained", "{message}", {"message": message}),
        loc=detail["loc"],
        input=detail["input"],
    )


@dataclass(frozen=True)
class Reference:
    """Marks a setting that names a model or a dataset of the config."""

    kind: Literal["model", "dataset"]


def _refuse(value: Any) -> Any:
    if value is None:
        return None
    raise PydanticCustomError("unavailable", "not available in this version")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


ModelName = Annotated[str, Reference("model")]
DatasetName = Annotated[str, Reference("dataset")]
ModelNames = Annotated[tuple[ModelName, ...], BeforeValidator(_as_list), Field(min_length=1)]
DatasetNames = Annotated[tuple[DatasetName, ...], BeforeValidator(_as_list)]
Unavailable = Annotated[Any, BeforeValidator(_refuse)]


class StageSettings(Settings):
    """What every stage that makes a model takes.

    Args:
        seed: seed of all draws; the config's where the node gives none.
        evaluate: datasets to score the model on; by default its own, `[]` for none.
    """

    seed: int = Field(default=42, ge=0)
    evaluate: DatasetNames | None = None

    def references(self) -> Iterator[tuple[str, Literal["model", "dataset"], str]]:
        """Yield (field, kind, name) of each model and dataset that these settings name."""
        for field, (kind, _) in reference_fields(type(self)).items():
            value = getattr(self, field)
            for name in (value,) if isinstance(value, str) else value or ():
                yield field, kind, name


def reference_fields(
    settings: type[BaseModel],
) -> dict[str, tuple[Literal["model", "dataset"], bool]]:
    """Return the fields that name models or datasets: field to (kind, whether it is a list)."""
    found = {}
    for field, info in settings.model_fields.items():
        reference = _find_reference((info.annotation, *info.metadata))
        if reference is not None:
            found[field] = (reference.kind, "tuple" in str(info.annotation))
    return found


def _find_reference(annotations: tuple[Any, ...]) -> Reference | None:
    for annotation in annotations:
        if isinstance(annotation, Reference):
            return annotation
        if get_origin(annotation) is not None:
            inner = _find_reference((*get_args(annotation), *getattr(annotation, "__metadata__", ())))
            if inner is not None:
                return inner
    return None
