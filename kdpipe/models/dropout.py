"""Fast dropout on a CPU. PyTorch draws a number per element there, which takes a sixth of a training step.

Here a draw of 64 bits decides four elements, 16 bits each, so that probabilities are multiples of 1/65536.
The draws come from PyTorch's generator, like the draws of `torch.nn.Dropout`: seeds and checkpoints work.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from kdpipe.models.attention import hide

ATTENTION = "kdpipe"
LEVELS = 2**16
ELEMENTS_PER_DRAW = 4
LOWEST = -(2**63)


def drop_out(tensor: Tensor, probability: float) -> Tensor:
    """Return a tensor with elements zeroed at random, and the other elements scaled to keep the mean."""
    level = round(probability * LEVELS)
    if level in (0, LEVELS):
        return tensor * (level == 0)
    size = tensor.numel()
    draws = torch.empty(-(-size // ELEMENTS_PER_DRAW), dtype=torch.int64).random_(LOWEST, None)
    # 1 for draws that are large enough, else 0. PyTorch compares several times slower than it clamps.
    largest_dropped = level - 1 - LEVELS // 2
    kept = draws.view(torch.int16)[:size].clamp_(largest_dropped, largest_dropped + 1).sub_(largest_dropped)
    return tensor * kept.view(tensor.shape).to(tensor.dtype).mul_(LEVELS / (LEVELS - level))


class Dropout(nn.Dropout):
    """Replaces `torch.nn.Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Zero elements while training."""
        return drop_out(input, self.p) if self.training else input


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attend as transformers' SDPA does, but drop attention weights with `drop_out`.

    The function takes the arguments of SDPA. SDPA itself runs layers that are causal, or whose heads share
    keys. The mask is True where a position may be attended to. The context [B, L, A, D] is returned, with the
    weights before dropout [B, A, L, L] if SDPA does not run.
    """
    plain = not any(value is not None for value in options.values())
    if not dropout or not plain or getattr(module, "is_causal", True) or key.shape[1] != query.shape[1]:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    scores = query * (scaling or query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    weights = scores.softmax(-1) if attention_mask is None else hide(scores, attention_mask).softmax(-1)
    return (drop_out(weights, dropout) @ value).transpose(1, 2), weights


AttentionInterface.register(ATTENTION, attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def use_fast_dropout(model: PreTrainedModel) -> None:
    """Let a model on a CPU drop elements with `drop_out`; its saved files do not change."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))
    model.set_attn_implementation(ATTENTION)


def gives_weights(model: PreTrainedModel) -> bool:
    """Tell whether the last output of a model's attentions is their weights before dropout, or None."""
    return bool(model.config._attn_implementation == ATTENTION)
