"""A frozen model that gives its signals to a student or to a cache."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kdpipe.signals.capture import Request, Signals, run_model


class Teacher:
    """A frozen model that gives its signals while the student learns.

    Args:
        model: the model, in evaluation mode.
        request: the outputs that the loss terms read.
    """

    def __init__(self, model: Any, request: Request) -> None:
        self.model = model
        self.request = request

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Tensor]) -> Signals:
        """Return the teacher's signals on a batch."""
        return run_model(self.model, batch, self.request)
