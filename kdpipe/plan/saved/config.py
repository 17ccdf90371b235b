"""What the config of a saved model says, checked before a library acts on it.

Only fields that are known here are passed on: others could name further files, code or kinds of numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.anatomy.families import (
    ITS_TOKENIZER,
    ONE_MODEL,
    PRUNED,
    checked_shape,
    count_outputs,
    count_places,
    family_facts,
    family_name,
    head_task,
)
from kdpipe.anatomy.heads import dropped_tensors, in_body, saved_as
from kdpipe.anatomy.shapes import Shape
from kdpipe.config.settings.architecture import saved_architecture
from kdpipe.config.signatures import field_options
from kdpipe.declarations import constants
from kdpipe.errors import KdpipeError, ModelError, some, suggest
from kdpipe.plan.saved.fields import SavedFields, labels_of, short, validated
from kdpipe.plan.saved.files import CONFIG, WEIGHTS_FILE, Tensor, read_object, read_tensors, read_tokenizer
from kdpipe.plan.saved.tokenizer import vocabulary_size
from kdpipe.plan.sizes import known, parameters

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


@dataclass(frozen=True)
class SavedModel:
    """What the folder of a saved model shows before its weights are read.

    Args:
        folder: the folder.
        family: its family.
        config: what is passed on of its config.
        shape: its shape.
        tokenizer: the content of its tokenizer's file.
        dropped: its tensors that are of another head than it has.
    """

    folder: Path
    family: str
    config: dict[str, Any]
    shape: Shape
    tokenizer: Mapping[str, Any]
    dropped: tuple[str, ...]

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
    tokenizer = read_tokenizer(folder)
    try:
        for name, harmless in UNSUPPORTED.items():
            if raw.get(name) not in harmless:
                raise ModelError(f"{name} {short(raw[name])} is not supported; take a model without it")
        config = known_fields(family, raw, tensors)
        shape = checked_shape(family, config)
        _check_padding(family, config, shape)
        _check_units(config, shape)
        _check_extent(config, shape, tensors)
        dropped = dropped_tensors(family, config["architectures"][0], tensors)
    except KdpipeError as error:
        raise ModelError(f"{file}: {short(str(error), most=400)}") from None
    known, count = shape.vocabulary or 0, vocabulary_size(tokenizer)
    if count > known:
        raise ModelError(f"{folder} knows {known} tokens, but the tokenizer has {count}; {ITS_TOKENIZER}")
    return SavedModel(folder, family, config, shape, tokenizer, tuple(dropped))


def known_fields(family: str, raw: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the fields of a saved config that are known here; a field that is not of its type raises."""
    fields = {**_architecture(family, raw), **_other_fields(family, raw, tensors)}
    return {**fields, "model_type": raw["model_type"]}


def _family(folder: Path, model_type: Any) -> str:
    family = family_name(str(model_type))
    if family not in catalog.FAMILIES:
        hint = suggest(family, catalog.FAMILIES)
        raise ModelError(f"{folder} holds a model of the family {short(repr(family))}; {hint}")
    facts = family_facts(family)
    stock_type = constants(facts["config_class"])["model_type"]
    if model_type != family and (not facts["unit_names"] or model_type != f"{PRUNED}{stock_type}"):
        raise ModelError(f"{folder} holds a model of the kind {model_type!r}, which does not exist")
    return family


def _architecture(family: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the family's config class, each of its type."""
    target = family_facts(family)["config_class"]
    names = field_options(target).keys()
    synonyms = constants(target).get("attribute_map", {})
    fields = {synonyms.get(name, name): value for name, value in raw.items() if name in synonyms}
    fields |= {name: value for name, value in raw.items() if name in names}
    vocabulary = fields.pop("vocab_size", None)
    options: dict[str, Any] = validated(saved_architecture(family), {"family": family, **fields}).options
    if vocabulary is None:
        return options
    if type(vocabulary) is not int or vocabulary < 1:
        raise ModelError(f"vocab_size: expected a number of tokens, found {short(vocabulary)}")
    return {**options, "vocab_size": vocabulary}


def _other_fields(family: str, raw: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    without = OF_PRUNED if raw["model_type"] == family else ()
    saved = {name: raw[name] for name in SavedFields.model_fields if name in raw and name not in without}
    fields: SavedFields = validated(SavedFields, saved)
    values: dict[str, Any] = fields.model_dump(exclude_unset=True, exclude={"label2id", "num_labels"})
    if labels := labels_of(fields):
        values["id2label"] = {str(index): label for index, label in enumerate(labels)}
        values["label2id"] = {label: index for index, label in enumerate(labels)}
    values["architectures"] = [saved_as(family, fields.architectures or [], tensors)]
    if head_task(family, values) == "regression" and count_outputs(values) != 1:
        raise ModelError(f"problem_type: regression has one output, found {count_outputs(values)}")
    if fields.problem_type == "single_label_classification" and count_outputs(values) == 1:
        raise ModelError(f"problem_type: {fields.problem_type} needs two outputs or more, found 1")
    return values


def _check_padding(family: str, config: dict[str, Any], shape: Shape) -> None:
    """Refuse a padding token outside the vocabulary; a causal model is given its tokenizer's."""
    padding = config.get("pad_token_id")
    if family_facts(family)["causal"]:
        config.pop("pad_token_id", None)
    elif padding is not None and not 0 <= padding < (shape.vocabulary or 0):
        raise ModelError(f"pad_token_id: expected one of {shape.vocabulary} tokens, found {padding}")


def _check_units(config: Mapping[str, Any], shape: Shape) -> None:
    """Refuse a pruned model whose counts of units do not fit its blocks."""
    counts, whole = config.get("unit_counts"), config.get("ancestor_counts")
    if counts is None:
        return
    places = count_places(shape)
    for kind in ("head", "neuron"):
        expected = places[f"{kind}s"]
        if len(counts.get(kind, ())) != expected:
            raise ModelError(f"unit_counts: expected {expected} numbers of {kind}s, found {short(counts)}")
        if not whole or sum(counts[kind]) > whole.get(kind, 0):
            raise ModelError(f"ancestor_counts: expected {sum(counts[kind])} {kind}s or more, found {whole}")


def _check_extent(config: Mapping[str, Any], shape: Shape, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a model that its weights are too few for, before anybody makes room for it."""
    if not any(in_body(shape.family or "", name) for name in tensors):
        raise ModelError(
            f"describes a {shape.family}, but {WEIGHTS_FILE} has {some([*tensors])}; {ONE_MODEL}"
        )
    numbers = sum(prod(tensor.shape) for tensor in tensors.values())
    for name, value in {**config, "num_labels": count_outputs(config)}.items():
        if type(value) is int and value > numbers and not name.endswith("_token_id"):
            raise ModelError(f"{name} is {value:,}, but {WEIGHTS_FILE} has {numbers:,} numbers; {ONE_MODEL}")
    expected = parameters({**known(shape), "neurons": shape.neurons or 0})
    # About: families differ, and pruned models have less.
    if expected > 4 * numbers and "unit_counts" not in config and "embedding_rank" not in config:
        raise ModelError(f"describes {expected:,} weights, but {WEIGHTS_FILE} has {numbers:,}; {ONE_MODEL}")
