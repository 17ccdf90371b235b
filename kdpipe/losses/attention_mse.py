"""Squared difference of student and teacher attentions."""

from typing import Literal

from torch import Tensor
from torch.nn import functional

from kdpipe.losses.heads import check_heads, matched_heads
from kdpipe.losses.loss import Loss, OutputKind


class AttentionMSELoss(Loss):
    """Squared difference of attention probabilities, averaged over heads and pairs of query and key.

    Args:
        heads: `each` compares head by head; `sum` and `mean` compare the sums, or the means, over a block's
            heads, so that student and teacher may have different numbers of heads.

    Reference:
        Jiao et al., TinyBERT (arXiv 1909.10351), the loss of attentions, there of scores before the softmax;
        `att_mse_loss` and `att_mse_sum_loss` of airaria/TextBrewer.
    """

    student_kinds = ("attentions",)
    teacher_kinds = ("attentions",)
    averaged_over = "pairs"
    same_heads = ("heads", "each")

    def __init__(self, heads: Literal["each", "sum", "mean"] = "each") -> None:
        self.heads = check_heads(heads, ("each", "sum", "mean"))

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the squared differences of each query [N], summed over keys, from attentions [N, A, L]."""
        student, target = matched_heads(student, target, self.heads)
        return functional.mse_loss(student, target, reduction="none").sum(-1).mean(-1)
