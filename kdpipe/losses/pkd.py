"""Squared difference of the directions of first tokens' hidden states."""

import torch
from torch import Tensor
from torch.nn import functional

from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast
from kdpipe.signals.rows import Rows


class PKDLoss(Loss):
    """Squared difference of the first token's hidden states, each divided by its length.

    Reference:
        Sun et al., Patient Knowledge Distillation (arXiv 1908.09355), section 3.2; `pkd_loss` of
        airaria/TextBrewer.
    """

    student_kinds = ("hidden_states",)
    teacher_kinds = ("hidden_states",)
    compares = "examples"
    averaged_over = "examples"
    first_token = True
    same_width = True

    def __call__(self, student: Rows, target: Rows, kind: OutputKind) -> Tensor:
        """Return the squared difference of each example [B] from rows [N, H]."""
        sides = [functional.normalize(upcast(_first_tokens(rows)), dim=-1) for rows in (student, target)]
        return (sides[0] - sides[1]).square().sum(-1)


def _first_tokens(rows: Rows) -> Tensor:
    """Return the first row of each example [B, H]."""
    examples = torch.arange(rows.size[0], device=rows.places.device)
    return rows.values.index_select(0, torch.searchsorted(rows.examples, examples))
