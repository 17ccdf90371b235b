"""The runs that signals come from: the student, and a frozen teacher, online or cached."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from kdpipe.signals.capture import Request, Signals, capture


class Origin(NamedTuple):
    """A run of a model that gives signals.

    Args:
        teacher: the teacher's name; "" for the student.
        run: the run.
    """

    teacher: str = ""
    run: str = "base"


STUDENT = Origin()
# The one teacher of a config.
TEACHER = Origin("teacher")


class Teacher:
    """A frozen model whose signals are captured while the student learns.

    Args:
        model: the model, in evaluation mode.
        request: the signals that the loss terms read.
    """

    def __init__(self, model: Any, request: Request) -> None:
        self.model = model
        self.request = request

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any]) -> Signals:
        """Return the teacher's signals on a batch."""
        return capture(self.model, batch, self.request)
