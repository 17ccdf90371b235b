"""Difference of how similar the tokens of an example are in student and teacher."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast, without_autocast
from kdpipe.signals.rows import Rows


class MMDLoss(Loss):
    """Squared difference of the products of each two tokens' hidden states, divided by their width.

    It compares one hidden state with itself, or two hidden states of one model, as with
    `layers: [[[0, 4], [0, 1]]]`. Student and teacher may have different widths. It is neuron selectivity
    transfer (NST), the maximum mean discrepancy of the tokens with a polynomial kernel of degree 2.

    Reference:
        Huang and Wang, Like What You Like (arXiv 1707.01219); `mmd_loss` of airaria/TextBrewer (master).
    """

    student_kinds = ("hidden_states",)
    teacher_kinds = ("hidden_states",)
    compares = "examples"
    states = "two"
    averaged_over = "pairs"

    def __call__(self, student: Sequence[Rows], target: Sequence[Rows], kind: OutputKind) -> Tensor:
        """Return the squared differences of each example [B], summed over its pairs, from states [N, H]."""
        with without_autocast(student[0].values.device):
            return (_products(*student) - _products(*target)).square().sum((1, 2))


def _products(first: Rows, second: Rows) -> Tensor:
    """Return the products of each token of one state with each of the other [B, L, L], 0 with padding."""
    left = upcast(first.padded())
    right = left if second is first else upcast(second.padded())
    products: Tensor = torch.bmm(left, right.transpose(1, 2)) / left.shape[-1]
    return products
