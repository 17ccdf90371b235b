"""Difference of how similar the tokens of an example are in student and teacher."""

import torch
from torch import Tensor

from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast, without_autocast
from kdpipe.signals.rows import Rows


class MMDLoss(Loss):
    """Squared difference of the products of each two tokens' hidden states, divided by their width.

    Student and teacher may have different widths. It is neuron selectivity transfer (NST), the maximum mean
    discrepancy of the tokens with a polynomial kernel of degree 2.

    Reference:
        Huang and Wang, Like What You Like (arXiv 1707.01219); `mmd_loss` of airaria/TextBrewer (master), of a
        state and itself.
    """

    student_kinds = ("hidden_states",)
    teacher_kinds = ("hidden_states",)
    compares = "examples"
    averaged_over = "pairs"

    def __call__(self, student: Rows, target: Rows, kind: OutputKind) -> Tensor:
        """Return the squared differences of each example [B], summed over its pairs, from rows [N, H]."""
        with without_autocast(student.values.device):
            return (_products(student) - _products(target)).square().sum((1, 2))


def _products(rows: Rows) -> Tensor:
    """Return the products of each two tokens of an example [B, L, L], 0 with padding."""
    states = upcast(rows.padded())
    products: Tensor = torch.bmm(states, states.transpose(1, 2)) / states.shape[-1]
    return products
