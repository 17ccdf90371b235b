"""What the config of a saved model says, checked before a library acts on it.

Only fields that are known here are passed on: others could name further files, code or kinds of numbers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal
from unicodedata import category

from pydantic import NonNegativeInt, PositiveInt, ValidationError

from kdpipe import catalog
from kdpipe.config.entries import Shape
from kdpipe.config.families import (
    PRUNED,
    checked_shape,
    count_outputs,
    count_places,
    family_facts,
    family_name,
    head_task,
    stock_class,
)
from kdpipe.config.mistakes import problems_of
from kdpipe.config.saved_files import CONFIG, WEIGHTS, Tensor, check_tokenizer, read_object, read_tensors
from kdpipe.config.settings.architecture import saved_architecture
from kdpipe.config.settings.base import Settings
from kdpipe.config.signatures import constants, field_options, lineage
from kdpipe.errors import KdpipeError, ModelError, suggest

# Fields that change what a model computes, with the values that leave it one of ours.
UNSUPPORTED: dict[str, Sequence[Any]] = {
    "quantization_config": (None,),
    "is_decoder": (None, False),
    "add_cross_attention": (None, False),
    "position_embedding_type": (None, "absolute"),
    "pruned_heads": (None, {}),
    "per_layer_config": (None, {}),
}
# Fields that only the config of a pruned model has.
OF_PRUNED = ("unit_counts", "ancestor_counts", "embedding_rank", "drops_empty_bias")
Counts = dict[Literal["head", "neuron"], list[NonNegativeInt]]


class SavedFields(Settings):
    """What a config says besides the architecture.

    Args:
        architectures: the class that the model was saved as.
        id2label: names of the outputs of its head.
        label2id: the same the other way round.
        num_labels: how many these are, where they have no names.
        problem_type: what a head for texts is for.
        unit_counts: of a pruned model, the units of each place.
        ancestor_counts: of a pruned model, the units of the model that it was made of.
        embedding_rank: rank of its word embeddings.
        drops_empty_bias: whether what reads no units has no bias.
    """

    architectures: list[str] | None = None
    id2label: dict[str, str] | None = None
    label2id: dict[str, int] | None = None
    num_labels: PositiveInt | None = None
    problem_type: (
        Literal["single_label_classification", "regression", "multi_label_classification"] | None
    ) = None
    unit_counts: Counts | None = None
    ancestor_counts: dict[Literal["head", "neuron"], PositiveInt] | None = None
    embedding_rank: PositiveInt | None = None
    drops_empty_bias: bool | None = None


@dataclass(frozen=True)
class SavedModel:
    """What the folder of a saved model shows before its weights are read.

    Args:
        folder: the folder.
        family: its family.
        config: what is passed on of its config.
        shape: its shape.
    """

    folder: Path
    family: str
    config: dict[str, Any]
    shape: Shape

    @property
    def head(self) -> str | None:
        """The task of its head, as of `head_task`."""
        return head_task(self.family, self.config)


def read_saved(folder: Path) -> SavedModel:
    """Read what the folder of a saved model shows.

    Raises:
        ModelError: a file is missing or malformed, or the model is none that kdpipe can have.
    """
    file = folder / CONFIG
    raw = read_object(file)
    family = _family(folder, raw.get("model_type"))
    tensors = read_tensors(folder)
    check_tokenizer(folder)
    try:
        for name, harmless in UNSUPPORTED.items():
            if raw.get(name) not in harmless:
                raise ModelError(f"{name} {_short(raw[name])} is not supported; take a model without it")
        config = {
            **_architecture(family, raw),
            **_other_fields(family, raw, tensors),
            "model_type": raw["model_type"],
        }
        shape = checked_shape(family, config)
        _check_units(config, shape)
        _check_extent(config, shape, tensors)
    except KdpipeError as error:
        raise ModelError(f"{file}: {error}") from None
    return SavedModel(folder, family, config, shape)


def _family(folder: Path, model_type: Any) -> str:
    family = family_name(str(model_type))
    if family not in catalog.FAMILIES:
        hint = suggest(family, catalog.FAMILIES)
        raise ModelError(f"{folder} holds a model of the family {_short(repr(family))}; {hint}")
    facts = family_facts(family)
    own = constants(facts["config_class"])["model_type"]
    if model_type != family and (not facts["unit_names"] or model_type != f"{PRUNED}{own}"):
        raise ModelError(f"{folder} holds a model of the kind {model_type!r}, which there is not")
    return family


def _architecture(family: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the family's config class, each of its type."""
    target = family_facts(family)["config_class"]
    names = field_options(target).keys()
    synonyms = constants(target).get("attribute_map", {})
    given = {synonyms.get(name, name): value for name, value in raw.items() if name in synonyms}
    given |= {name: value for name, value in raw.items() if name in names}
    vocabulary = given.pop("vocab_size", None)
    options: dict[str, Any] = _validated(saved_architecture(family), {"family": family, **given}).options
    if vocabulary is None:
        return options
    if type(vocabulary) is not int or vocabulary < 1:
        raise ModelError(f"vocab_size: expected a number of tokens, found {_short(vocabulary)}")
    return {**options, "vocab_size": vocabulary}


def _other_fields(family: str, raw: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    known = {name: raw[name] for name in SavedFields.model_fields if name in raw}
    if raw["model_type"] == family:
        known = {name: value for name, value in known.items() if name not in OF_PRUNED}
    fields = _validated(SavedFields, known)
    found: dict[str, Any] = fields.model_dump(exclude_unset=True, exclude={"label2id", "num_labels"})
    if labels := _labels(fields):
        found["id2label"] = {str(index): label for index, label in enumerate(labels)}
        found["label2id"] = {label: index for index, label in enumerate(labels)}
    found["architectures"] = [_saved_as(family, fields.architectures or [], tensors)]
    if head_task(family, found) == "regression" and count_outputs(found) != 1:
        raise ModelError(f"problem_type: regression has one output, found {count_outputs(found)}")
    if fields.problem_type == "single_label_classification" and count_outputs(found) == 1:
        raise ModelError(f"problem_type: {fields.problem_type} needs two outputs or more, found 1")
    return found


def _validated(model: type[Any], fields: Mapping[str, Any]) -> Any:
    try:
        return model.model_validate(fields, strict=True)
    except ValidationError as error:
        raise ModelError(_short("; ".join(map(str, problems_of(error))))) from None


def _labels(fields: SavedFields) -> list[str] | None:
    """Return the names of the outputs in their order."""
    named, count = fields.id2label, fields.num_labels
    if named is None:
        return [f"LABEL_{index}" for index in range(min(count, 10**6))] if count else None
    if sorted(named) != sorted(map(str, range(len(named)))) or not named:
        raise ModelError(f"id2label: expected names for the outputs 0 and so on, found {_short(list(named))}")
    labels = [named[str(index)] for index in range(len(named))]
    if len({*labels}) < len(labels):
        raise ModelError(f"id2label: expected a name of its own for each output, found {_short(labels)}")
    if count not in (None, len(labels)):
        raise ModelError(f"num_labels: id2label names {len(labels)} outputs, found {count}")
    if any(category(character) in ("Cc", "Cs") for label in labels for character in label):
        raise ModelError(f"id2label: expected names without control characters, found {_short(labels)}")
    indices = fields.label2id or {}
    if indices.keys() == {*labels} and sorted(labels, key=indices.__getitem__) != labels:
        raise ModelError(f"label2id: {_short(indices)} contradicts id2label, {_short(named)}; correct one")
    return labels


def _saved_as(family: str, architectures: Sequence[str], tensors: Mapping[str, Tensor]) -> str:
    """Return the class of a model: that which it was saved as, or that whose head it has."""
    facts = family_facts(family)
    stems = [definition.name.removesuffix("Config") for _, definition in lineage(facts["config_class"])]
    given = architectures[0] if architectures else ""
    if given and not stock_class(given).startswith(tuple(stems)):
        raise ModelError(
            f"architectures: expected a class of the family {family}, such as {stems[0]}Model, "
            f"found {_short(given)}"
        )
    if stock_class(given) in facts["heads"].values():
        return given
    for kind, own in facts["head_tensors"].items():
        if all(name in tensors for name in own):
            return str(facts["heads"][kind])
    return given or f"{stems[0]}Model"


def _check_units(config: Mapping[str, Any], shape: Shape) -> None:
    """Refuse a pruned model whose units are not those of its blocks."""
    counts, whole = config.get("unit_counts"), config.get("ancestor_counts")
    if counts is None:
        return
    places = count_places(shape)
    for kind in ("head", "neuron"):
        expected = places[f"{kind}s"]
        if len(counts.get(kind, ())) != expected:
            raise ModelError(f"unit_counts: expected {expected} numbers of {kind}s, found {_short(counts)}")
        if not whole or sum(counts[kind]) > whole.get(kind, 0):
            raise ModelError(f"ancestor_counts: expected {sum(counts[kind])} {kind}s or more, found {whole}")


def _check_extent(config: Mapping[str, Any], shape: Shape, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a model that its weights are too few for, before anybody makes room for it."""
    numbers = sum(prod(tensor.shape) for tensor in tensors.values())
    sizes = {fact: getattr(shape, fact) for fact in family_facts(str(shape.family))["shape_fields"]}
    sizes |= {"labels": count_outputs(config), "embedding rank": config.get("embedding_rank")}
    for fact, size in sizes.items():
        limit, of = (len(tensors), "tensors") if fact == "depth" else (numbers, "numbers")
        if (size or 0) > limit:
            raise ModelError(
                f"{fact} is {size:,}, but {WEIGHTS} has {limit:,} {of}; take both from one model"
            )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
