"""Norms compute in float32 where matrices are multiplied in bfloat16."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers.models.t5.modeling_t5 import T5LayerNorm

from kdpipe.models.precision import norms_in_fp32
from kdpipe.models.signals import Request, run_model
from tests.models.conftest import HEADS, SHAPES, batch_of, logits_of


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
        logits = run_model(model, batch, Request()).logits
    assert logits is not None
    logits.float().square().mean().backward()
    torch.testing.assert_close(logits.float(), expected, atol=2e-2, rtol=2e-2)
