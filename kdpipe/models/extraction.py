"""Students with copies of some of a model's blocks."""

import copy
from collections.abc import Collection, Mapping, Sequence

import torch
import transformers
from torch import nn
from transformers import PreTrainedModel

from kdpipe import catalog
from kdpipe.errors import ModelError
from kdpipe.models.family import Family, family_of
from kdpipe.models.loading import head_kind
from kdpipe.seeds import WEIGHTS, draw_seed


def extract_blocks(model: PreTrainedModel, blocks: Sequence[int]) -> PreTrainedModel:
    """Return a model of the same family and head with copies of some blocks, from 0, in the given order."""
    family = family_of(model)
    config = copy.deepcopy(model.config)
    setattr(config, family.shape_fields["depth"], len(blocks))
    for kind, counts in (getattr(config, "unit_counts", None) or {}).items():
        depth = len(family.blocks(model.base_model))
        config.unit_counts[kind] = [*(counts[block] for block in blocks), *counts[depth:]]
    with torch.random.fork_rng():
        student: PreTrainedModel = type(model)(config)
    original = family.blocks(model.base_model)
    prefix = next(f"{name}." for name, module in model.named_modules() if module is original)
    weights = model.state_dict()

    def source(name: str) -> str:
        if not name.startswith(prefix):
            return name
        place, _, rest = name.removeprefix(prefix).partition(".")
        copied = f"{prefix}{blocks[int(place)]}.{rest}"
        # A weight that only the first block has, such as T5's table of relative positions, stays there.
        return copied if copied in weights else name

    student.load_state_dict({name: weights[source(name)] for name in student.state_dict()})
    return student


def extract_as(
    name: str, model: PreTrainedModel, blocks: Sequence[int], seed: int, without: Collection[str] = ()
) -> PreTrainedModel:
    """Return a model of another family with copies of some of a model's blocks, embeddings and head.

    The modules of the head that are named in `without` are drawn anew, as weights are that are not copied.

    Raises:
        ModelError: the family has no place for a part of the model, or cannot have a setting of the model.
    """
    family: type[Family] = catalog.resolve("families", name)
    kind = head_kind(model.config, type(model).__name__)
    places = family.copied_from.get(model.config.model_type)
    if places is None or kind not in places["heads"] or (not kind and model.base_model is not model):
        raise ModelError(
            f"{name} students are not made of a {type(model).__name__}, but only of models of the family "
            f"{' or '.join(family.copied_from) or name}; extract with `architecture: same`"
        )
    for field, value in places["fixed"].items():
        if getattr(model.config, field) != value:
            raise ModelError(
                f"{name} always has a {field} of {value}, found {getattr(model.config, field)}; "
                "extract with `architecture: same`"
            )
    fields = {target: getattr(model.config, source) for target, source in places["config"].items()}
    fields |= {field: getattr(model.config, field) for field in ("id2label", "label2id", "problem_type")}
    config = catalog.load(family.config_class)(**fields, **{family.shape_fields["depth"]: len(blocks)})
    with torch.random.fork_rng():
        torch.manual_seed(draw_seed(seed, WEIGHTS))
        student: PreTrainedModel = getattr(transformers, f"AutoModel{kind}").from_config(config)
    _copy(student.base_model, model.base_model, places["body"])
    targets, sources = family.blocks(student.base_model), family_of(model).blocks(model.base_model)
    for target, block in zip(targets, blocks, strict=True):
        _copy(target, sources[block], places["block"])
    head = {target: source for target, source in places["heads"][kind].items() if target not in without}
    _copy(student, model, head)
    return student


def _copy(target: nn.Module, source: nn.Module, names: Mapping[str, str]) -> None:
    for target_name, source_name in names.items():
        target.get_submodule(target_name).load_state_dict(source.get_submodule(source_name).state_dict())
