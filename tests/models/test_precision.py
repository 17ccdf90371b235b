"""Matrices are multiplied in bfloat16 on processors that do so faster; norms compute in float32."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers.models.t5.modeling_t5 import T5LayerNorm

from kdpipe.anatomy.signals import LOGITS
from kdpipe.errors import TrainingError
from kdpipe.models.precision import Precision, choose_precision, faster_on, norms_in_fp32
from kdpipe.signals.capture import Request, capture
from tests.models.conftest import HEADS, SHAPES, batch_of, logits_of
from tests.tolerance import assert_close


def cpuinfo(vendor: str, *cores: str, name: str = "flags") -> str:
    """Return the text of `/proc/cpuinfo` for a processor with some cores."""
    return "".join(
        f"processor\t: {number}\nvendor_id\t: {vendor}\n{name}\t\t: fpu sse2 {features}\nbugs\t\t: mds\n\n"
        for number, features in enumerate(cores)
    )


ARM = "processor\t: 0\nBogoMIPS\t: 2000.00\nFeatures\t: fp asimd {}\nCPU implementer\t: 0x41\n"


@pytest.mark.parametrize(("text", "name", "why"), [
    (cpuinfo("GenuineIntel", "avx512f avx512_bf16 amx_bf16 amx_tile"), "bfloat16", "AMX"),
    (cpuinfo("GenuineIntel", "avx512f avx512_bf16"), "float32", "avx512_bf16 without AMX"),
    (cpuinfo("GenuineIntel", "avx512f", "avx512f"), "float32", "nothing says"),
    (cpuinfo("GenuineIntel", "avx2") + "vmx flags\t: amx_bf16\n", "float32", "nothing says"),
    (cpuinfo("AuthenticAMD", "avx512f avx512_bf16"), "bfloat16", "AMD's"),
    (cpuinfo("AuthenticAMD", "avx2"), "float32", "nothing says"),
    (ARM.format("bf16 i8mm"), "bfloat16", "ARM's"),
    (ARM.format("asimddp"), "float32", "nothing says"),
    # A thread may run on a core without the feature.
    (cpuinfo("GenuineIntel", "amx_bf16", ""), "float32", "nothing says"),
    # A system other than Linux.
    ("", "float32", "nothing says"),
])  # fmt: skip
def test_the_faster_precision_follows_from_the_processor(text: str, name: str, why: str) -> None:
    found = faster_on(text)
    assert found.name == name
    assert why in found.why


@pytest.mark.parametrize(("given", "name"), [
    ({"bf16": True}, "bfloat16"), ({"bf16": False}, "float32"), ({"bf16": None}, "kept"), ({}, "kept"),
])  # fmt: skip
@pytest.mark.parametrize("faster", ["bfloat16", "float32"])
def test_what_is_given_is_obeyed_and_what_was_chosen_is_kept(
    given: dict[str, Any], name: str, faster: str, processor: Any
) -> None:
    processor(faster)
    for before in ("bfloat16", "float32"):
        kept = Precision(before, "it was")
        assert choose_precision(given, kept).name == (before if name == "kept" else name)
    assert choose_precision(given).name == (faster if name == "kept" else name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has it")
def test_float16_needs_a_gpu() -> None:
    with pytest.raises(TrainingError, match=r"training\.fp16: needs a GPU"):
        choose_precision({"fp16": True})


@pytest.mark.parametrize("norm", [nn.LayerNorm(16), T5LayerNorm(16)])
def test_a_norm_computes_and_returns_float32(norm: nn.Module) -> None:
    norms_in_fp32(norm)
    states = (torch.randn(5, 16, generator=torch.Generator().manual_seed(1)) * 30).bfloat16()
    expected = norm(states.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        normed = norm(states)
    assert normed.dtype == torch.float32
    assert torch.equal(normed, expected)


@pytest.mark.parametrize("name", SHAPES)
def test_every_family_runs_in_bf16(name: str, with_head: Any) -> None:
    model, batch = with_head(name, HEADS[0]), batch_of(9, 5)
    expected = logits_of(model, batch)
    norms_in_fp32(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = capture(model, batch, Request())[LOGITS].values
    logits.float().square().mean().backward()
    # Each of three layers rounds some five products.
    assert_close(logits.float(), expected, roundings=8, dtype=torch.bfloat16)
