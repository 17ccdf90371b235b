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
    length = queries.shape[1]
    visible = attention_mask.bool()[:, None, None, :]
    if family_of(model).causal:
        visible = visible & torch.ones(length, length, dtype=torch.bool, device=visible.device).tril()
    with without_autocast(queries.device):
        scores = _scores(attention, queries, keys)
        bias = family_of(model).attention_bias(model.base_model, attention, length)
        scores = scores if bias is None else scores + bias
        probabilities: Tensor = hide(scores, visible).softmax(-1)
    return probabilities


def token_weights(
    model: Any, attention: Any, queries: Tensor, keys: Tensor, attention_mask: Tensor, scores: bool = False
) -> Tensor:
    """Return how much the token that stands for its text attends to each token, in float32 [B, L].

    This is the first token, and of a causal model, whose first token sees only itself, the last one. The
    attention is the mean over the heads. Padding has -inf.

    Args:
        model: the model.
        attention: the module of a block that attends.
        queries: its queries [B, L, A, D].
        keys: its keys [B, L, A, D].
        attention_mask: 0 at padding [B, L].
        scores: whether scores before the softmax are averaged, and not probabilities.
    """
    family, (examples, length) = family_of(model), attention_mask.shape
    last = attention_mask.sum(1) - 1
    place = last if family.causal else torch.zeros_like(last)
    row = place[:, None, None, None].expand(examples, 1, *queries.shape[2:])
    with without_autocast(queries.device):
        found = _scores(attention, queries.gather(1, row), keys)
        bias = family.attention_bias(model.base_model, attention, length)
        found = found if bias is None else found + bias[0].index_select(1, place).transpose(0, 1)[:, :, None]
        found = found.masked_fill(~attention_mask.bool()[:, None, None, :], -torch.inf)
        averaged: Tensor = (found if scores else found.softmax(-1)).mean((1, 2))
    return averaged.masked_fill(~attention_mask.bool(), -torch.inf)


def _scores(attention: Any, queries: Tensor, keys: Tensor) -> Tensor:
    """Return the scaled products of queries [B, Q, A, D] and keys [B, L, A, D], in float32 [B, A, Q, L]."""
    scaled = upcast(queries) * attention.scaling
    scores: Tensor = scaled.transpose(1, 2) @ upcast(keys).permute(0, 2, 3, 1)
    return scores
