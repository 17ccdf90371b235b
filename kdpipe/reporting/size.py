"""The size of a model, read from its folder without loading it."""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

from kdpipe import catalog
from kdpipe.config.families import family_name
from kdpipe.config.signatures import constants

FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Size:
    """The size of a model.

    Args:
        parameters: number of weights; tied ones count once.
        depth: number of blocks, None where the family is not known.
        width: size of a hidden state, None where the family is not known.
    """

    parameters: int
    depth: int | None
    width: int | None


def read_size(folder: Path) -> Size:
    """Return the size of the model in a folder."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    target = catalog.FAMILIES.get(family_name(config.get("model_type", "")))
    fields = constants(target)["shape_fields"] if target else {}
    depth, width = (config.get(fields.get(key)) for key in ("depth", "width"))
    return Size(count_parameters(folder / "model.safetensors"), depth, width)


def count_parameters(path: Path) -> int:
    """Return the number of weights in a safetensors file, its floating-point numbers, from the header alone.

    Reference:
        https://huggingface.co/docs/safetensors: eight bytes of length, then a JSON header.
    """
    with path.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return sum(prod(tensor["shape"]) for tensor in header.values() if tensor.get("dtype") in FLOATS)
