"""How the tokens of an example relate to one another, in queries, keys and values."""

from collections.abc import Sequence
from math import sqrt

import torch
from pydantic import PositiveInt
from torch import Tensor

from kdpipe.errors import KdpipeError, ModelError
from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.losses.softened import relative_entropy
from kdpipe.models.precision import upcast, without_autocast
from kdpipe.signals.rows import Rows


class RelationLoss(Loss):
    """Sum of the divergences of the relations among queries, among keys and among values.

    A relation is the softmax over an example's tokens of their scaled dot products, in each relation head.

    Args:
        relation_heads: number of heads into which the features of all heads are divided again, so that
            student and teacher may have different numbers of heads; by default the number of the teacher's
            heads.

    Reference:
        Wang et al., MiniLMv2 (arXiv 2012.15828), equations 3 to 6 with equal weights.
    """

    student_kinds = ("queries", "keys", "values")
    teacher_kinds = ("queries", "keys", "values")
    compares = "examples"
    averaged_over = "queries"
    divided_by = "relation_heads"

    def __init__(self, relation_heads: PositiveInt | None = None) -> None:
        if relation_heads is not None and relation_heads < 1:
            raise KdpipeError(f"relation_heads: expected a number from 1, found {relation_heads}")
        self.relation_heads = relation_heads

    def __call__(self, student: Sequence[Rows], target: Sequence[Rows], kind: OutputKind) -> Tensor:
        """Return the divergences of each example [B], summed over its tokens, from rows [N, A, D]."""
        heads = self.relation_heads or target[0].values.shape[1]
        total = torch.zeros((), device=student[0].values.device)
        with without_autocast(total.device):
            for rows, target_rows in zip(student, target, strict=True):
                scores = _scores(rows, heads), _scores(target_rows, heads)
                divergence = relative_entropy(*scores)
                total = total + divergence.mean(1).masked_fill(~rows.real, 0.0).sum(1)
        return total


def _scores(rows: Rows, heads: int) -> Tensor:
    """Return the scaled dot products of an example's tokens, -inf with padding [B, R, L, L]."""
    packed = rows.padded().flatten(2)
    if packed.shape[-1] % heads:
        features = f"the {packed.shape[-1]} features of a block's heads"
        raise ModelError(f"relation: {heads} relation heads cannot share {features}; give a divisor of these")
    divided = upcast(packed).view(*packed.shape[:2], heads, -1).transpose(1, 2)
    scores: Tensor = divided @ divided.transpose(-1, -2) / sqrt(divided.shape[-1])
    return scores.masked_fill(~rows.real[:, None, None, :], -torch.inf)
