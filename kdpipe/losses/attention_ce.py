"""Cross-entropy of the student's attentions under the teacher's."""

from typing import Literal

import torch
from torch import Tensor

from kdpipe.losses.heads import check_heads, matched_heads
from kdpipe.losses.loss import Loss, OutputKind


class AttentionCELoss(Loss):
    """Cross-entropy of each query's attention to the keys, averaged over heads and queries.

    Args:
        heads: `each` compares head by head; `mean` compares the means over a block's heads, so that student
            and teacher may have different numbers of heads.
        compat: `textbrewer` takes the softmax of the probabilities once more, over all keys of the padded
            batch, and leaves out the terms of padding, as TextBrewer does with the attentions of
            transformers.

    Reference:
        Wang et al., MiniLM (arXiv 2002.10957), section 3.1, the transfer of attention distributions, which
        subtracts the teacher's own entropy; `att_ce_loss` and `att_ce_mean_loss` of airaria/TextBrewer, which
        take the softmax of scores themselves.
    """

    student_kinds = ("attentions",)
    teacher_kinds = ("attentions",)
    averaged_over = "queries"
    same_heads = ("heads", "each")

    def __init__(
        self, heads: Literal["each", "mean"] = "each", compat: Literal["textbrewer"] | None = None
    ) -> None:
        self.heads = check_heads(heads, ("each", "mean"))
        self.compat = compat

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the cross-entropy of each query [N] from attentions [N, A, L]."""
        student, target = matched_heads(student, target, self.heads)
        if self.compat:
            # The teacher attends to every key but to padding, and to keys that come later.
            seen = target.softmax(-1).where(target > 0, 0.0)
            return -(seen * student.log_softmax(-1)).sum(-1).mean(-1)
        # A probability of 0 would cost infinitely much.
        logarithms = student.clamp(min=torch.finfo(student.dtype).tiny).log()
        return -(target * logarithms).sum(-1).mean(-1)
