"""`architecture`: a model family and any field of its transformers config class by its own name."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, PlainSerializer, model_validator

from kdpipe import catalog
from kdpipe.config.settings.base import Settings, refused
from kdpipe.config.settings.bounds import bounded
from kdpipe.config.settings.explanation import mistake, read_name
from kdpipe.config.signatures import Option, field_options, options_model
from kdpipe.declarations import constants, mapping_keys

ACTIVATION_CLASSES = "transformers.activations:ACT2CLS"
# The most weights of a model that is made from nothing: 8 GB, and four times as much in a training.
MOST_WEIGHTS = 2 * 10**9
OF_TOKENIZER = "is set by kdpipe, from the tokenizer"
OF_HEADS = "is not supported: no head of kdpipe reads it"
OF_FAMILY = "is not supported: it follows from the family"
REFUSED = {
    **dict.fromkeys(("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id"), OF_TOKENIZER),
    **dict.fromkeys(("summary_type", "summary_use_proj", "summary_activation"), OF_HEADS),
    **dict.fromkeys(("summary_last_dropout", "summary_first_dropout", "summary_proj_to_labels"), OF_HEADS),
    **dict.fromkeys(("is_decoder", "is_encoder_decoder", "add_cross_attention"), OF_FAMILY),
    "num_decoder_layers": OF_FAMILY,
    "use_cache": "is not supported: models run without a cache of keys and values",
}
# The end of a field's name says what the field is, whatever the family.
SIZES = ("_size", "_embd", "dim", "_model", "_kv", "_ff", "_inner", "_embeddings", "_positions", "_distance")
RANGES: Mapping[tuple[str, ...], Mapping[str, float]] = {
    SIZES: {"ge": 1, "le": 2**20},
    ("heads", "_head", "layers", "_layer"): {"ge": 1, "le": 1024},
    ("_buckets",): {"ge": 4, "le": 1024},
    ("dropout", "_prob", "_pdrop", "_rate"): {"ge": 0, "lt": 1},
    ("_range", "_factor"): {"ge": 0, "le": 1000},
    ("_eps", "_epsilon"): {"gt": 0, "le": 1},
}
ACTIVATION_FIELDS = ("hidden_act", "activation", "activation_function", "feed_forward_proj")


class ArchitectureBase(Settings):
    """The base of the generated architecture settings.

    Args:
        family: the model family, such as `bert`.
    """

    family: str

    @property
    def options(self) -> dict[str, Any]:
        """The fields of the transformers config in the user's config."""
        return self.model_dump(exclude={"family"}, exclude_unset=True)

    def check_weights(self, vocabulary: int) -> str:
        """Return the mistake of a number of weights that is too large with a vocabulary, or ""."""
        shape = _shape(self)
        width, heads = shape["width"], shape.get("heads", 1)
        inner = heads * shape["key"] if "key" in shape else width
        embeddings = (vocabulary + shape.get("positions", 0)) * shape.get("embeddings", width)
        block = 4 * width * inner + 2 * width * shape.get("neurons", 4 * width)
        weights = embeddings + shape["depth"] * block
        what = f"would make a model of about {weights:,} weights, expected at most {MOST_WEIGHTS:,}"
        return "" if weights <= MOST_WEIGHTS else f"{what}; lower its sizes"


class _NewArchitecture(ArchitectureBase):
    """The base of the settings of a model that is made from nothing."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        buckets, distance = "relative_attention_num_buckets", "relative_attention_max_distance"
        if self.options.get(distance, 128) <= self.options.get(buckets, 32) // 2:
            what = f"expected `{distance}` above half of `{buckets}`, which stand for single distances"
            raise mistake((distance if distance in self.options else buckets,), what)
        if what := self.check_weights(0):
            raise mistake((), what)
        return self


def _shape(architecture: ArchitectureBase) -> dict[str, int]:
    """Return the numbers of the shape, with the defaults of the family; `key` is the width of a head."""
    facts = constants(catalog.FAMILIES[architecture.family])
    values = {**constants(facts["config_class"]), **architecture.options}
    shape = {fact: values.get(name) for fact, name in {"key": "d_kv", **facts["shape_fields"]}.items()}
    return {fact: value for fact, value in shape.items() if isinstance(value, int)}


@cache
def architecture_settings(family: str) -> type[ArchitectureBase]:
    """Return the settings model of a family's architecture."""
    types = {name: refused(REFUSED[name]) if name in REFUSED else kind for name, kind in _types(family)}
    return _settings(family, _NewArchitecture, types)


@cache
def saved_architecture(family: str) -> type[ArchitectureBase]:
    """Return the settings model of the architecture in the config of a saved model."""
    return _settings(family, ArchitectureBase, dict(_types(family)))


def _settings(family: str, base: type[ArchitectureBase], types: Mapping[str, Any]) -> type[ArchitectureBase]:
    options = {name: Option(kind, None) for name, kind in types.items()}
    return options_model(f"{family}_architecture", base, options)


def _types(family: str) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a family's config class, each with its type."""
    for name, option in field_options(constants(catalog.FAMILIES[family])["config_class"]).items():
        bounds = next((bounds for ends, bounds in RANGES.items() if name.endswith(ends)), {})
        is_activation = name in ACTIVATION_FIELDS
        yield (
            name,
            Literal[mapping_keys(ACTIVATION_CLASSES)] if is_activation else bounded(option.type, **bounds),
        )


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
