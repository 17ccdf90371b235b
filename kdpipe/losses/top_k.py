"""A loss on the largest logits of the teacher, where the vocabulary is large."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from kdpipe.losses.loss import Loss, OutputKind
from kdpipe.models.precision import upcast


class TopKLoss(Loss):
    """Another loss, on the k outputs that the teacher finds likeliest and on all others taken as one output.

    The logit of the others is the log-sum-exp of their logits, so that the k probabilities are the teacher's
    own. At temperature 1 a divergence is at most the divergence of the whole distributions. The loss is 0
    where student and teacher agree.

    Args:
        loss: the loss on logits.
    """

    student_kinds = ("logits",)
    teacher_kinds = ("top_logits", "top_entries")

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def __call__(self, student: Tensor, target: tuple[Tensor, Tensor], kind: OutputKind) -> Tensor:
        """Return the loss of each row [N].

        Args:
            student: logits [N, C].
            target: the teacher's k largest logits and the logit of the others [N, k+1], and the outputs that
                the k largest belong to [N, k].
            kind: as of the other loss.
        """
        logits, entries = target
        # A teacher with more outputs than the student may find these likely; the last column stands for them.
        own = functional.pad(upcast(student), (0, 1), value=-torch.inf)
        entries = entries.long().clamp(max=student.shape[-1])
        ruled_out = functional.pad(entries == student.shape[-1], (0, 1))
        others = own.scatter(-1, entries, -torch.inf).logsumexp(-1, keepdim=True)
        sides = (
            torch.cat((own.gather(-1, entries), others), dim=-1),
            logits.masked_fill(ruled_out, -torch.inf),
        )
        return self.loss(*sides, kind)

    @property
    def by_row(self) -> bool:
        """Whether the other loss goes by row."""
        return self.loss.by_row

    def logged(self) -> Mapping[str, Tensor]:
        return self.loss.logged()
