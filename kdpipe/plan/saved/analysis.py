"""What a saved model consists of, by its config and the headers of its weights; the weights are not read."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.anatomy.analysis import Analysis, Weight
from kdpipe.anatomy.families import family_name, shape_of
from kdpipe.anatomy.ties import tied_names
from kdpipe.errors import KdpipeError, ModelError
from kdpipe.plan.saved.config import known_fields
from kdpipe.plan.saved.files import CONFIG, COUNTED, SCALES, Tensor, list_tensors, read_object


def analyze_folder(folder: Path) -> Analysis:
    """Return what the model in a folder consists of.

    Of a family that kdpipe does not know, the result has neither tied parameters nor blocks.

    Raises:
        ModelError: a file is missing or malformed.
    """
    raw = read_object(folder / CONFIG)
    apart = (*COUNTED, *SCALES)
    tensors = {name: tensor for name, tensor in list_tensors(folder).items() if not name.endswith(apart)}
    weights = {
        name: Weight(prod(tensor.shape), tensor.size, shape=tensor.shape) for name, tensor in tensors.items()
    }
    config = raw
    family = family_name(str(raw.get("model_type")))
    if family in catalog.FAMILIES:
        config = _known(folder, family, raw, tensors)
        ties = tied_names(family, config["architectures"][0], tensors)
        weights |= {name: Weight(0, 0, own, tensors[own].shape) for name, own in ties.items()}
    # A header lists tensors by type, and block 10 before block 2.
    return Analysis(config, {name: weights[name] for name in sorted(weights, key=_place)})


def _known(
    folder: Path, family: str, raw: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    try:
        fields = known_fields(family, raw, tensors)
        _check_counts(fields, shape_of(family, fields).depth or 0)
        return fields
    except KdpipeError as error:
        raise ModelError(f"{folder / CONFIG}: {error}") from None


def _check_counts(config: Mapping[str, Any], blocks: int) -> None:
    """Refuse a pruned model without the counts of units of each block."""
    counts = config.get("unit_counts")
    if counts is None:
        return
    for kind in ("head", "neuron"):
        if len(counts.get(kind, ())) < blocks:
            raise ModelError(f"unit_counts: expected {blocks} numbers of {kind}s or more, found {counts}")


def _place(name: str) -> list[str]:
    return [part.zfill(8) if part.isdecimal() else part for part in name.split(".")]
