"""Squared difference of student and teacher hidden states."""

from torch import Tensor
from torch.nn import functional

from kdpipe.losses.term import Loss, OutputKind, upcast


class HiddenMSELoss(Loss):
    """Mean over the width of the squared difference of two hidden states.

    Reference:
        Jiao et al., TinyBERT (arXiv 1909.10351), the loss of hidden states; `hid_mse_loss` of
        airaria/TextBrewer.
    """

    signal = "hidden_states"
    needs_teacher = True
    same_width = True

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the mean squared difference of each row [N] from two hidden states [N, H]."""
        return functional.mse_loss(upcast(student), upcast(target), reduction="none").mean(-1)
