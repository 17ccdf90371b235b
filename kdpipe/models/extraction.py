"""A student made of some of a model's blocks."""

import copy
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedModel

from kdpipe import catalog
from kdpipe.errors import ModelError
from kdpipe.models.family import Family, NameMap, family_of
from kdpipe.models.loading import head_kind
from kdpipe.seeds import WEIGHTS, draw_seed


def extract_blocks(model: PreTrainedModel, blocks: Sequence[int]) -> PreTrainedModel:
    """Return a model of the same family and head with copies of some blocks.

    Args:
        model: the model to copy from.
        blocks: its blocks, from 0, in the order in which the student has them.
    """
    family = family_of(model)
    config = copy.deepcopy(model.config)
    setattr(config, family.shape_fields["depth"], len(blocks))
    for kind, counts in (getattr(config, "unit_counts", None) or {}).items():
        depth = len(family.blocks(model.base_model))
        config.unit_counts[kind] = [*(counts[block] for block in blocks), *counts[depth:]]
    with torch.random.fork_rng():
        student: PreTrainedModel = type(model)(config)
    own = family.blocks(model.base_model)
    prefix = next(f"{name}." for name, module in model.named_modules() if module is own)
    weights = model.state_dict()

    def source(name: str) -> str:
        if not name.startswith(prefix):
            return name
        place, _, rest = name.removeprefix(prefix).partition(".")
        copied = f"{prefix}{blocks[int(place)]}.{rest}"
        # What only the first block has, such as T5's table of relative positions, stays with the first.
        return copied if copied in weights else name

    student.load_state_dict({name: weights[source(name)] for name in student.state_dict()})
    return student


def extract_as(
    name: str, model: PreTrainedModel, blocks: Sequence[int], seed: int, without: Collection[str] = ()
) -> PreTrainedModel:
    """Return a model of another family with copies of some of a model's blocks, embeddings and head.

    Args:
        name: family of the student, in the catalog.
        model: the model to copy from, with or without a head.
        blocks: its blocks, from 0.
        seed: seed of what is not copied.
        without: modules of the head that are drawn anew though they could be copied.

    Raises:
        ModelError: students of the family are not made of such models, or cannot be as this one is.
    """
    family: type[Family] = catalog.resolve("families", name)
    kind = head_kind(model.config, type(model).__name__)
    places = family.copied_from.get(model.config.model_type)
    if places is None or kind not in places["heads"] or (not kind and model.base_model is not model):
        raise ModelError(
            f"{name} students are not made of a {type(model).__name__}, but of models of the family "
            f"{' or '.join(family.copied_from) or 'alone'}; extract with `architecture: same`"
        )
    for field, value in places["fixed"].items():
        if getattr(model.config, field) != value:
            raise ModelError(
                f"{name} has a {field} of {value} and no other, found {getattr(model.config, field)}; "
                "extract with `architecture: same`"
            )
    with torch.random.fork_rng():
        torch.manual_seed(draw_seed(seed, WEIGHTS))
        student: PreTrainedModel = getattr(transformers, f"AutoModel{kind}").from_config(
            _translated(family, places, model.config, len(blocks))
        )
    _copy(student.base_model, model.base_model, places["body"])
    theirs, ours = family.blocks(student.base_model), family_of(model).blocks(model.base_model)
    for target, block in zip(theirs, blocks, strict=True):
        _copy(target, ours[block], places["block"])
    head = {target: source for target, source in places["heads"][kind].items() if target not in without}
    _copy(student, model, head)
    return student


def _translated(family: type[Family], places: NameMap, config: Any, depth: int) -> Any:
    module, _, name = family.config_class.partition(":")
    fields = {target: getattr(config, source) for target, source in places["config"].items()}
    fields |= {name: getattr(config, name) for name in ("id2label", "label2id", "problem_type")}
    return getattr(import_module(module), name)(**fields, **{family.shape_fields["depth"]: depth})


def _copy(target: nn.Module, source: nn.Module, names: Mapping[str, str]) -> None:
    for theirs, ours in names.items():
        target.get_submodule(theirs).load_state_dict(source.get_submodule(ours).state_dict())
