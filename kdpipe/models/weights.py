"""Read the weights of a saved model: every tensor of the file has a place, and no tensor is missing."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from kdpipe.anatomy.families import ONE_MODEL
from kdpipe.anatomy.heads import dropped_tensors, in_body
from kdpipe.environment import silenced
from kdpipe.errors import ModelError, some
from kdpipe.models.family import family_of
from kdpipe.seeds import HEAD, draw_seed

LOG = logging.getLogger(__name__)


def read_weights(
    model_class: Any, folder: Path, config: Any, seed: int, new_head: bool = False
) -> PreTrainedModel:
    """Return a model of a class with a config, and with the weights of a folder.

    The seed draws a new head, and a pooler that a body lacks, or that comes with a new head.

    Raises:
        ModelError: weights of the model are missing, have another shape, have no place or are not finite.
    """
    # Our own messages name the weights that do not fit, which transformers would list.
    with torch.random.fork_rng(), silenced("transformers.modeling_utils"):
        model, report = model_class.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        head = _head_parameters(model) if new_head else set()
        missing = {*report["missing_keys"]}
        misfits = {name: sizes for name, *sizes in report["mismatched_keys"]}
        may_lack = new_head or model.base_model is model
        optional = {name for name in missing if may_lack and _is_optional(model, name)}
        _check_all_there(model, folder, missing - head - optional)
        _check_shapes(model, folder, {name: sizes for name, sizes in misfits.items() if name not in head})
        _check_places(model, folder, report["unexpected_keys"], new_head)
        if optional:
            LOG.warning("%s lacks %s: drawn from seed %d", folder, ", ".join(sorted(optional)), seed)
        draw_weights(model, missing | misfits.keys() | head, seed)
        _check_finite(model, folder)
    loaded: PreTrainedModel = model
    return loaded


def _head_parameters(model: PreTrainedModel) -> set[str]:
    body = {id(parameter) for parameter in model.base_model.parameters()}
    named = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in named if id(parameter) not in body}


def _is_optional(model: PreTrainedModel, name: str) -> bool:
    return any(piece in name for piece in family_of(model).optional)


def _check_all_there(model: PreTrainedModel, folder: Path, missing: Collection[str]) -> None:
    if missing:
        tensors = model.state_dict()
        raise ModelError(
            f"{folder} lacks {len(missing)} of the {len(tensors)} tensors that {type(model).__name__} has: "
            f"{some([name for name in tensors if name in missing])}; {ONE_MODEL}"
        )


def _check_shapes(model: PreTrainedModel, folder: Path, misfits: dict[str, Any]) -> None:
    if misfits:
        shapes = [
            f"{name} (found {list(saved)}, expected {list(expected)})"
            for name, (saved, expected) in sorted(misfits.items())
        ]
        raise ModelError(
            f"{folder}: weights have other shapes than the {type(model).__name__} of config.json has: "
            f"{some(shapes)}; {ONE_MODEL}"
        )


def _check_places(model: PreTrainedModel, folder: Path, homeless: Collection[str], new_head: bool) -> None:
    """Refuse tensors that the model has no place for, and log the tensors of other heads.

    A new head replaces any head of the folder.
    """
    family = model.config.model_type
    extra = [name for name in homeless if in_body(family, name) and not _is_optional(model, name)]
    if extra:
        raise ModelError(
            f"{folder}: {type(model).__name__} of this transformers has no place for {some(sorted(extra))}; "
            f"without these tensors the model would be another: {ONE_MODEL}"
        )
    try:
        dropped = dropped_tensors(family, "" if new_head else type(model).__name__, sorted(homeless))
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    if dropped:
        LOG.info("%s: tensors of another head are dropped: %s", folder, some(dropped, most=8))


def _check_finite(model: PreTrainedModel, folder: Path) -> None:
    wrong = [name for name, parameter in model.named_parameters() if not parameter.isfinite().all()]
    if wrong:
        raise ModelError(
            f"{folder}: numbers that are NaN or infinite are in {some(wrong)}; "
            "take a checkpoint from before the training diverged"
        )


def draw_weights(model: PreTrainedModel, names: Collection[str], seed: int) -> None:
    """Draw the named parameters of a model as its class does for an untrained model.

    The draws of a layer depend only on the seed and the layer's name, not on other missing weights or on the
    number of blocks. The function changes the global generator.
    """
    for name, parameter in model.named_parameters():
        # The initializers of transformers skip parameters with this mark.
        parameter._is_hf_initialized = name not in names  # type: ignore[attr-defined]
    with torch.no_grad():
        _draw(model, model, "", names, seed)


def _draw(module: nn.Module, owner: PreTrainedModel, path: str, names: Collection[str], seed: int) -> None:
    """Initialize a module after its parts, by the rules of the model around it."""
    if isinstance(module, PreTrainedModel):
        owner = module
    for name, child in module.named_children():
        _draw(child, owner, f"{path}{name}.", names, seed)
    if any(name.startswith(path) for name in names):
        torch.manual_seed(draw_seed(seed, f"{HEAD} {path}"))
        owner._init_weights(module)
