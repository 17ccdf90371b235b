"""The contract of a loss."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor, nn

from kdpipe.anatomy.layers import States
from kdpipe.anatomy.signals import Averaged

OutputKind = Literal["categorical", "binary", "regression"]


class Loss(Protocol):
    """Compares a student with its target, row by row or example by example.

    A row is one real prediction, token or query, never padding. The class attributes are literals and the
    constructor's parameters have plain annotations, because a config is checked against the source of the
    class, which is not imported.

    Attributes:
        student_kinds: the kinds of the student's signals that the loss reads (`kdpipe.anatomy.signals`).
        teacher_kinds: the kinds of the teacher's signals; without any, the target is the labels.
        compares: `rows`, whose values the loss takes, or `examples`, whose `Rows` (`kdpipe.signals.rows`) it
            takes.
        states: how many layers of a model the loss takes at once (`kdpipe.anatomy.layers`); of more than one,
            it takes a tuple of values or rows.
        averaged_over: the sum of the loss is divided by the number of these in the whole accumulated batch.
        same_width: whether rows of student and teacher must be equally wide; a projection makes them so.
        same_heads: whether blocks of student and teacher must have equally many heads; or the option and its
            value with which they must.
        first_token: whether the loss reads the first token of an example alone.
        divided_by: the option with the number of parts into which a row is divided, by default the number of
            the teacher's heads; "" for a loss that divides no rows.
    """

    student_kinds: ClassVar[tuple[str, ...]]
    teacher_kinds: ClassVar[tuple[str, ...]] = ()
    compares: ClassVar[Literal["rows", "examples"]] = "rows"
    states: ClassVar[States] = "one"
    averaged_over: ClassVar[Averaged] = "rows"
    same_width: ClassVar[bool] = False
    same_heads: ClassVar[bool | tuple[str, str]] = False
    first_token: ClassVar[bool] = False
    divided_by: ClassVar[str] = ""

    @property
    def by_row(self) -> bool:
        """Whether the loss of a row follows from the row alone, so that rows may be taken in parts."""
        return self.compares == "rows"

    def __call__(self, student: Any, target: Any, kind: OutputKind) -> Tensor:
        """Return the loss of each row [N] or example [B], in fp32 unless the student's rows are wider.

        Args:
            student: its logits [N, C], states [N, H], queries, keys or values [N, A, D], or attention of each
                query to each key [N, A, L]; a tuple of these for a loss of several kinds.
            target: the same of the teacher; or labels: class ids [N] (categorical), floats [N, C]
                (binary), floats [N] (regression).
            kind: the meaning of the logits: one of C classes, C labels on or off, or C numbers. Losses
                on other signals ignore it.
        """
        ...

    def begin(self, teacher: int, student: int) -> nn.Module | None:
        """Return what a loss on all blocks carries from step to step, or nothing.

        Args:
            teacher: number of the teacher's blocks.
            student: number of the student's blocks.
        """
        return None

    def logged(self) -> Mapping[str, Tensor]:
        """Return numbers of the last call that the training logs, by name."""
        return {}
