"""The precision of matrix products: bfloat16 on machines where bfloat16 is faster, with norms in float32."""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import torch
from torch import nn
from transformers.utils.import_utils import enable_tf32, is_torch_tf32_available

from kdpipe import processes
from kdpipe.artifacts.shards import Shards
from kdpipe.errors import TrainingError

CPUINFO = Path("/proc/cpuinfo")
PrecisionName = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Precision:
    """The precision of matrix products, and the reason for it."""

    name: PrecisionName
    why: str

    def __str__(self) -> str:
        return f"{self.name}, as {self.why}"


def choose_precision(fields: Mapping[str, Any], earlier: Precision | None = None) -> Precision:
    """Return the precision of all processes.

    Args:
        fields: the fields of a training; `bf16` and `fp16` decide if they are set.
        earlier: the precision of the training that this training goes on from, or of its cached teacher.
    """
    if fields.get("fp16"):
        precision = Precision("float16", "training.fp16 is true")
    elif fields.get("bf16") is not None:
        name: PrecisionName = "bfloat16" if fields["bf16"] else "float32"
        precision = Precision(name, f"training.bf16 is {fields['bf16']}")
    else:
        # The processes of a training may run on different processors.
        precision = earlier or processes.shared(_faster)
    _check(precision)
    return precision


def kept_precision(fields: Mapping[str, Any], shards: Shards) -> Precision:
    """Return the precision of a stage; a stage that goes on elsewhere has its first precision.

    Args:
        fields: as of `choose_precision`.
        shards: what the stage has finished so far.
    """

    def choose() -> pa.Table:
        return pa.Table.from_pylist([asdict(choose_precision(fields))])

    return Precision(**shards.table("precision", choose).to_pylist()[0])


def _faster() -> Precision:
    if not torch.cuda.is_available():
        return faster_on(CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else "")
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bfloat16", "the GPU multiplies bfloat16 faster")
    return Precision("float32", "the GPU does not multiply bfloat16")


def faster_on(cpuinfo: str) -> Precision:
    """Return the precision that a processor multiplies faster, by the text of `/proc/cpuinfo`; "" if unknown.

    Intel's processors without AMX are no faster in bfloat16, even if they list `avx512_bf16`, as many virtual
    machines do.
    """
    lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    features = set.intersection(*(set(line.split()) for line in lines)) if lines else set()
    if "amx_bf16" in features:
        return Precision("bfloat16", "the processor has AMX")
    if "avx512_bf16" in features and "AuthenticAMD" in cpuinfo:
        return Precision("bfloat16", "the processor is AMD's and has avx512_bf16")
    if "avx512_bf16" in features:
        return Precision("float32", "the processor has avx512_bf16 without AMX, which is no faster")
    if "bf16" in features:
        return Precision("bfloat16", "the processor is ARM's and has bf16")
    return Precision("float32", "nothing says that the processor multiplies bfloat16 faster")


def _check(chosen: Precision) -> None:
    gpu = torch.cuda.is_available()
    if chosen.name == "float16" and not gpu:
        raise TrainingError("training.fp16: needs a GPU, found none; leave it out, or give `bf16`")
    if chosen.name == "bfloat16" and gpu and not torch.cuda.is_bf16_supported():
        raise TrainingError(
            f"training.bf16: this GPU does not multiply bfloat16, but {chosen.why}; "
            "give `bf16: false`, or `fp16: true`"
        )


def set_tf32(enabled: bool | None) -> None:
    """Let a GPU multiply float32 as TF32, or not; None changes nothing."""
    if enabled and not is_torch_tf32_available():
        raise TrainingError(
            "training.tf32: needs a GPU of NVIDIA's Ampere or a later generation; leave it out"
        )
    if enabled is not None:
        enable_tf32(enabled)


def default_device() -> torch.device:
    """Return the device that models run on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(precision: Precision) -> AbstractContextManager[Any]:
    """Return a context that multiplies matrices in a precision."""
    dtype = getattr(torch, precision.name)
    return torch.autocast(default_device().type, dtype=dtype, enabled=precision.name != "float32")


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which matrices are multiplied as they are, as losses do."""
    return torch.autocast(device.type, enabled=False)


def upcast(tensor: torch.Tensor) -> torch.Tensor:
    """Return half precision as float32 and anything wider as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def norms_in_fp32(model: nn.Module) -> None:
    """Make layer norms compute and return float32 under autocast, as on CUDA and as T5's norms always do."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_pre_hook(lambda _, inputs: tuple(tensor.float() for tensor in inputs))
