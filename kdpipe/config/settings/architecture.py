"""`architecture`: a model family and any field of its transformers config class by its own name."""

from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from kdpipe import catalog
from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.explanation import read_name
from kdpipe.config.signatures import Option, constants, field_options, options_model


class ArchitectureBase(Settings):
    """The base of the generated architecture settings.

    Args:
        family: the model family, such as `bert`.
    """

    family: str

    @property
    def options(self) -> dict[str, Any]:
        """The fields of the transformers config that the user gave."""
        return self.model_dump(exclude={"family"}, exclude_unset=True)


@cache
def architecture_settings(family: str) -> type[ArchitectureBase]:
    """Return the settings model of a family's architecture, `vocab_size` apart (the tokenizer gives it)."""
    target = constants(catalog.FAMILIES[family])["config_class"]
    options = {name: Option(option.type, None) for name, option in field_options(target).items()}
    options.pop("vocab_size")
    return options_model(f"{family}_architecture", ArchitectureBase, options)


def _validate(value: Any) -> Any:
    if isinstance(value, ArchitectureBase):
        return value
    family = read_name(value, "family", catalog.FAMILIES)
    return architecture_settings(family).model_validate(value)


Architecture = Annotated[
    ArchitectureBase,
    BeforeValidator(_validate),
    PlainSerializer(lambda value: {"family": value.family, **value.options}, return_type=dict),
]
