"""The probabilities of attention, which a model's own fast attention does not return."""

from typing import Any

import torch
from torch import Tensor

from kdpipe.models.family import family_of
from kdpipe.models.precision import upcast, without_autocast
from kdpipe.models.units import Group


def hide(scores: Tensor, visible: Tensor) -> Tensor:
    """Return scores in whose softmax hidden positions count for nothing; the scores themselves change.

    On a CPU an addition is several times faster than filling by a mask that all heads share.

    Args:
        scores: [B, A, L, L].
        visible: whether a position may be attended to, of a shape that broadcasts to the shape of the scores.
    """
    lowest = torch.finfo(scores.dtype).min
    return scores.add_(torch.zeros_like(visible, dtype=scores.dtype).masked_fill_(~visible, lowest))


def attention_of(body: Any, heads: Group) -> Any:
    """Return the module of a body that attends with some heads."""
    return body.get_submodule(heads.inputs[0].rpartition(".")[0])


def attention_probabilities(
    model: Any, attention: Any, queries: Tensor, keys: Tensor, attention_mask: Tensor
) -> Tensor:
    """Return how much each position attends to each other one before dropout, in float32 [B, A, L, L].

    Padding is not attended to.

    Args:
        model: the model.
        attention: the module of a block that attends, whose scale and bias the scores have.
        queries: its queries [B, L, A, D].
        keys: its keys [B, L, A, D].
        attention_mask: 0 at padding [B, L].
    """
    family, length = family_of(model), queries.shape[1]
    visible = attention_mask.bool()[:, None, None, :]
    if family.causal:
        visible = visible & torch.ones(length, length, dtype=torch.bool, device=visible.device).tril()
    with without_autocast(queries.device):
        scaled = upcast(queries) * attention.scaling
        scores = scaled.transpose(1, 2) @ upcast(keys).permute(0, 2, 3, 1)
        bias = family.attention_bias(model.base_model, attention, length)
        scores = scores if bias is None else scores + bias
        probabilities: Tensor = hide(scores, visible).softmax(-1)
    return probabilities
