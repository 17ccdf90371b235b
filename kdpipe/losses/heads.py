"""Attention probabilities of student and teacher, head by head or over all heads of a block."""

from torch import Tensor

from kdpipe.errors import KdpipeError, ModelError, quoted, suggest
from kdpipe.models.precision import upcast


def check_heads(heads: str, known: tuple[str, ...]) -> str:
    """Return how heads are compared; raise KdpipeError if the loss knows no such way."""
    if heads not in known:
        raise KdpipeError(f"heads: {quoted(heads)} is not known; {suggest(heads, known)}")
    return heads


def matched_heads(student: Tensor, target: Tensor, heads: str) -> tuple[Tensor, Tensor]:
    """Return attentions [N, A, L] as they are compared, in fp32 or wider.

    Args:
        student: the student's attentions.
        target: the teacher's attentions.
        heads: `each` for the heads themselves, `sum` or `mean` for one sum or mean over the heads.

    Raises:
        ModelError: heads are compared one by one, and there are not as many.
    """
    student, target = upcast(student), upcast(target)
    if heads == "each" and student.shape != target.shape:
        found = f"found {student.shape[1]} and {target.shape[1]}"
        raise ModelError(
            f"attentions: student and teacher need equally many heads in a block, {found}; "
            "`heads: mean` compares their means"
        )
    if heads == "sum":
        return student.sum(1, keepdim=True), target.sum(1, keepdim=True)
    if heads == "mean":
        return student.mean(1, keepdim=True), target.mean(1, keepdim=True)
    return student, target
