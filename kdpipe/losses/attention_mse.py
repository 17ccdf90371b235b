"""Squared difference of student and teacher attentions."""

from torch import Tensor

from kdpipe.errors import ModelError
from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast


class AttentionMSELoss(Loss):
    """Squared difference of attention probabilities, averaged over heads and pairs of query and key.

    Reference:
        Jiao et al., TinyBERT (arXiv 1909.10351), the loss of attentions, there of scores before the softmax;
        `att_mse_loss` of airaria/TextBrewer.
    """

    student_kinds = ("attentions",)
    teacher_kinds = ("attentions",)
    averaged_over = "pairs"
    same_heads = True

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the squared differences of each query [N], summed over keys, from attentions [N, A, L]."""
        if student.shape != target.shape:
            heads = f"found {student.shape[1]} and {target.shape[1]}"
            raise ModelError(f"attention_mse: student and teacher need as many heads in a block, {heads}")
        return (upcast(student) - upcast(target)).square().sum(-1).mean(-1)
