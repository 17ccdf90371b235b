"""The size of a model, read from its folder without loading it."""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.anatomy.families import family_name
from kdpipe.artifacts.sums import SUMS
from kdpipe.declarations import constants
from kdpipe.errors import KdpipeError

WEIGHTS = "model.safetensors"
FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Size:
    """The size of a model.

    Args:
        parameters: number of weights; tied weights count once.
        depth: number of blocks; None for an unknown family.
        width: size of a hidden state; None for an unknown family.
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
    return Size(count_parameters(folder / WEIGHTS), depth, width)


def count_parameters(path: Path) -> int:
    """Return the number of floating-point weights in a safetensors file, from its header alone.

    Raises:
        KdpipeError: the file has another size than its header says.

    Reference:
        https://huggingface.co/docs/safetensors: eight bytes of length, then a JSON header.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = _tensors(stream.read(min(length, size)))
    expected = 8 + length + max((tensor["data_offsets"][1] for tensor in header), default=0)
    if not header or size != expected:
        raise KdpipeError(
            f"{path}: expected {expected:,} bytes by its header, found {size:,}; "
            f"delete {path.parent / SUMS} and run its stage again"
        )
    return sum(prod(tensor["shape"]) for tensor in header if tensor["dtype"] in FLOATS)


def _tensors(header: bytes) -> list[dict[str, Any]]:
    try:
        content = json.loads(header)
    except ValueError:
        return []
    return [entry for name, entry in content.items() if name != "__metadata__"]
