"""Difference of how features of hidden states go together in student and teacher."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast, without_autocast
from kdpipe.signals.rows import Rows


class GramLoss(Loss):
    """Mean squared difference of the products of each two features, averaged over an example's tokens.

    Both features are of one hidden state. With two hidden states of one model, as in
    `layers: [[[0, 4], [0, 1]]]`, each feature is of another state: how the model gets from one to the other.

    Reference:
        Gatys et al., A Neural Algorithm of Artistic Style (arXiv 1508.06576), the Gram matrix; Yim et al.,
        A Gift from Knowledge Distillation (CVPR 2017), equation 1; `fsp_loss` of airaria/TextBrewer.
    """

    student_kinds = ("hidden_states",)
    teacher_kinds = ("hidden_states",)
    compares = "examples"
    states = "two"
    averaged_over = "examples"
    same_width = True

    def __call__(self, student: Sequence[Rows], target: Sequence[Rows], kind: OutputKind) -> Tensor:
        """Return the mean squared difference of each example [B] from two states [N, H] of each model."""
        with without_autocast(student[0].values.device):
            return (_products(*student) - _products(*target)).square().mean((1, 2))


def _products(first: Rows, second: Rows) -> Tensor:
    """Return the products of each feature of one state with each of the other, by example [B, H, H]."""
    left = upcast(first.padded())
    right = left if second is first else upcast(second.padded())
    products: Tensor = torch.bmm(left.transpose(1, 2), right) / first.real.sum(1)[:, None, None]
    return products
