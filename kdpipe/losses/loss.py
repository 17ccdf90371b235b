"""The contract of a loss, and what the losses share."""

from math import isfinite
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from kdpipe.errors import KdpipeError

Signal = Literal["logits", "hidden_states"]
OutputKind = Literal["categorical", "binary", "regression"]


class Loss(Protocol):
    """Compares a student with its target, row by row.

    A row is one real prediction or token; padding has been left out before. The class attributes
    are literals and the constructor's parameters have plain annotations, as a config is checked
    against the source of the class, without importing it.

    Attributes:
        signal: which output of the models it reads.
        needs_teacher: whether the target is the teacher's signal; otherwise it is the labels.
        same_width: whether rows of student and teacher must be equally wide.
    """

    signal: ClassVar[Signal]
    needs_teacher: ClassVar[bool]
    same_width: ClassVar[bool]

    def __call__(self, student: Tensor, target: Tensor, kind: OutputKind) -> Tensor:
        """Return the loss of each row, in fp32 unless the student's rows are wider.

        Args:
            student: logits [N, C] or hidden states [N, H].
            target: the same of the teacher; or labels: class ids [N] (categorical), floats [N, C]
                (binary), floats [N] (regression).
            kind: what the logits mean: one of C classes, C labels on or off, or C numbers. Losses
                of hidden states ignore it.
        """
        ...


def upcast(tensor: Tensor) -> Tensor:
    """Return half precision as fp32 and anything wider as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


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
