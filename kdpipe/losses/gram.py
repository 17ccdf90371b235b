"""Difference of how features of hidden states go together in student and teacher."""

import torch
from torch import Tensor

from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast, without_autocast
from kdpipe.signals.rows import Rows


class GramLoss(Loss):
    """Mean squared difference of the products of each two features, averaged over an example's tokens.

    Reference:
        Gatys et al., A Neural Algorithm of Artistic Style (arXiv 1508.06576), the Gram matrix; Yim et al.,
        A Gift from Knowledge Distillation (CVPR 2017), equation 1; `fsp_loss` of airaria/TextBrewer, of a
        state and itself.
    """

    student_kinds = ("hidden_states",)
    teacher_kinds = ("hidden_states",)
    compares = "examples"
    averaged_over = "examples"
    same_width = True

    def __call__(self, student: Rows, target: Rows, kind: OutputKind) -> Tensor:
        """Return the mean squared difference of each example [B] from rows [N, H]."""
        with without_autocast(student.values.device):
            return (_products(student) - _products(target)).square().mean((1, 2))


def _products(rows: Rows) -> Tensor:
    """Return the products of each two features of an example [B, H, H]."""
    states, lengths = upcast(rows.padded()), rows.real.sum(1)
    products: Tensor = torch.bmm(states.transpose(1, 2), states) / lengths[:, None, None]
    return products
