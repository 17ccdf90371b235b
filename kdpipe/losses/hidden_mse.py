"""Squared difference of student and teacher hidden states."""

from torch import Tensor
from torch.nn import functional

from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast


class HiddenMSELoss(Loss):
    """Mean over the width of the squared difference of two hidden states.

    Args:
        normalize: divide each state by its length first, so that only directions count.

    Reference:
        Jiao et al., TinyBERT (arXiv 1909.10351), the loss of hidden states; `hid_mse_loss` of
        airaria/TextBrewer. Normalized: Sun et al., Patient Knowledge Distillation (arXiv 1908.09355), section
        3.2, which sums over the width, and GeneZC/MiniDisc, which averages as is done here.
    """

    student_kinds = ("hidden_states",)
    teacher_kinds = ("hidden_states",)
    same_width = True

    def __init__(self, normalize: bool = False) -> None:
        self.normalize = normalize

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the mean squared difference of each row [N] from two hidden states [N, H]."""
        states = upcast(student), upcast(target)
        if self.normalize:
            states = functional.normalize(states[0], dim=-1), functional.normalize(states[1], dim=-1)
        return functional.mse_loss(*states, reduction="none").mean(-1)
