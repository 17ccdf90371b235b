"""The size of a model, read from its folder without loading it."""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

from kdpipe import catalog
from kdpipe.config.signatures import constants


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
    target = catalog.FAMILIES.get(config.get("model_type", ""))
    fields = constants(target)["shape_fields"] if target else {}
    depth, width = (config.get(fields.get(key)) for key in ("depth", "width"))
    return Size(count_parameters(folder / "model.safetensors"), depth, width)


def count_parameters(path: Path) -> int:
    """Return the number of weights in a safetensors file, from its header alone.

    Reference:
        https://huggingface.co/docs/safetensors: eight bytes of length, then a JSON header.
    """
    with path.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
