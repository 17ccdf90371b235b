"""The contract of a loss, and what the losses share."""

from math import isfinite
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor

from kdpipe.anatomy.signals import Averaged
from kdpipe.errors import KdpipeError

OutputKind = Literal["categorical", "binary", "regression"]


class Loss(Protocol):
    """Compares a student with its target, row by row or example by example.

    A row is one real prediction, token or query; padding has been left out before. The class attributes are
    literals and the constructor's parameters have plain annotations, as a config is checked against the
    source of the class, without importing it.

    Attributes:
        student_kinds: the kinds of signals that it reads of the student (`kdpipe.anatomy.signals`).
        teacher_kinds: those that it reads of the teacher; without any, the target is the labels.
        compares: `rows`, of which it is given the values, or `examples`, whose rows (`kdpipe.signals.rows`)
            say which example they belong to.
        averaged_over: what its sum is divided by the number of, in the whole accumulated batch.
        same_width: whether rows of student and teacher must be equally wide, for which a projection serves.
        same_heads: whether blocks of student and teacher must have as many heads.
        divided_by: the option that says into how many parts a row is divided, by default as many as the
            teacher has heads; "" where none is.
    """

    student_kinds: ClassVar[tuple[str, ...]]
    teacher_kinds: ClassVar[tuple[str, ...]] = ()
    compares: ClassVar[Literal["rows", "examples"]] = "rows"
    averaged_over: ClassVar[Averaged] = "rows"
    same_width: ClassVar[bool] = False
    same_heads: ClassVar[bool] = False
    divided_by: ClassVar[str] = ""

    def __call__(self, student: Any, target: Any, kind: OutputKind) -> Tensor:
        """Return the loss of each row [N] or example [B], in fp32 unless the student's rows are wider.

        Args:
            student: what it reads: logits [N, C], states [N, H], queries, keys or values [N, A, D], attention
                of each query to each key [N, A, L]; of several kinds a tuple, in their order.
            target: the same of the teacher; or labels: class ids [N] (categorical), floats [N, C]
                (binary), floats [N] (regression).
            kind: what the logits mean: one of C classes, C labels on or off, or C numbers. Losses
                on other signals ignore it.
        """
        ...


def check_temperature(temperature: float) -> float:
    """Return the temperature.

    Raises:
        KdpipeError: it is not a positive finite number.
    """
    if not (temperature > 0 and isfinite(temperature)):
        raise KdpipeError(
            f"temperature: expected a finite number above 0, found {temperature}; "
            "1 leaves the logits as they are, more softens them"
        )
    return temperature
