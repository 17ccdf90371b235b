"""The task's own loss, on labels."""

from torch import Tensor
from torch.nn import functional

from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast


class HardLoss(Loss):
    """Cross-entropy with the label, binary cross-entropy or squared error, as the task has it.

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network (arXiv 1503.02531), section 2:
        the second of its two objectives.
    """

    student_kinds = ("logits",)

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the loss of each row [N] from logits [N, C] and labels as `Loss` has them."""
        logits = upcast(student)
        if kind == "categorical":
            return functional.cross_entropy(logits, target, reduction="none")
        labels = target.to(logits.dtype).reshape(logits.shape)
        if kind == "binary":
            rows = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        else:
            rows = functional.mse_loss(logits, labels, reduction="none")
        return rows.mean(-1)
