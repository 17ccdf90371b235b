"""Attention probabilities from queries and keys, as the layers of a model have them while SDPA hides them."""

from typing import Any

import torch
from torch import Tensor

from kdpipe.models.family import family_of
from kdpipe.models.precision import upcast, without_autocast


def attention_probabilities(
    model: Any, layer: int, queries: Tensor, keys: Tensor, attention_mask: Tensor
) -> Tensor:
    """Return how much each position attends to each other one before dropout, in float32 [B, A, L, L].

    Queries and keys [B, L, A, D] are those of a block, counted from 1. The scale and the bias of the scores
    are the block's own. Padding, where the mask [B, L] is 0, is not attended to.
    """
    family, body = family_of(model), model.base_model
    name = family.groups(body)["head"][layer - 1].inputs[0].rpartition(".")[0]
    length = queries.shape[1]
    visible = attention_mask.bool()[:, None, None, :]
    if family.causal:
        visible = visible & torch.ones(length, length, dtype=torch.bool, device=visible.device).tril()
    with without_autocast(queries.device):
        scores = upcast(queries).transpose(1, 2) @ upcast(keys).permute(0, 2, 3, 1)
        scores = scores * body.get_submodule(name).scaling
        bias = family.attention_bias(body, body.get_submodule(name), length)
        scores = scores if bias is None else scores + bias
        probabilities: Tensor = scores.masked_fill(~visible, torch.finfo(scores.dtype).min).softmax(-1)
    return probabilities
