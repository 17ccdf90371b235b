"""bfloat16 where the processor multiplies it natively, with norms in float32."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn


def use_bf16(given: bool | None) -> bool:
    """Return what the user chose, else whether the processor multiplies bfloat16 matrices natively."""
    if given is not None:
        return given
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def default_device() -> torch.device:
    """Return the device that models run on."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(bf16: bool) -> AbstractContextManager[Any]:
    """Return the context in which matrices are multiplied in bfloat16, or nothing changes."""
    return torch.autocast(default_device().type, dtype=torch.bfloat16, enabled=bf16)


def norms_in_fp32(model: nn.Module) -> None:
    """Make layer norms compute and return float32 under autocast, as they do on CUDA, and T5's anywhere."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_pre_hook(_upcast_input)


def _upcast_input(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(tensor.float() for tensor in inputs)
