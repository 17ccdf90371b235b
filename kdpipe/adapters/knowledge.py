"""What a student takes of the states of its teachers, in bytes, as the manifest of the student tells it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdpipe.adapters.teachers import Source
from kdpipe.anatomy.families import shape_of
from kdpipe.anatomy.knowledge import Selection, Share, stored_bytes
from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.signals import BYTES, SIGNAL_KINDS, Signal
from kdpipe.knowledge.choosing import is_selected
from kdpipe.models.loading import read_model_config
from kdpipe.plan.saved.knowledge import read_knowledge
from kdpipe.plan.sizes import known
from kdpipe.training.objective import Objective


def taken_bytes(
    objective: Objective,
    selection: Selection | None,
    sources: Mapping[str, Source],
    lengths: NDArray[Any],
) -> int:
    """Return the bytes of what is taken of the states of some examples, in half precision.

    Args:
        objective: the loss, which says what is read of each teacher.
        selection: what is taken of them; None for all.
        sources: where the signals of each teacher come from.
        lengths: the tokens of each example [N].
    """
    texts = [*zip(*(each.tolist() for each in np.unique(lengths, return_counts=True)), strict=True)]
    total = 0
    for origin, request in objective.teachers.items():
        # Teachers by a column are as one, and equally large where it matters.
        source = sources.get(origin.teacher) or next(iter(sources.values()))
        shape = teacher_shape(source)
        for signal in filter(is_selected, request.signals):
            total += sum(count * _example_bytes(signal, selection, shape, text) for text, count in texts)
    return total


def teacher_shape(source: Source) -> Shape:
    """Return the shape of a teacher, or of the teacher that stored signals stand for."""
    if source.teacher is None:
        assert source.stored is not None
        return read_knowledge(source.stored).shape
    config: Any = read_model_config(source.teacher)
    return shape_of(config.model_type, config.to_dict())


def _example_bytes(signal: Signal, selection: Selection | None, shape: Shape, length: int) -> int:
    kind, each = SIGNAL_KINDS[signal.kind], BYTES["float16"]
    row = round(kind.token_bytes(known(shape), length, "float16", signal.place) / each)
    if selection is None:
        return stored_bytes([Share()], None, length, row, each, False)
    scheme = None if kind.attends else selection.hidden_scheme
    return stored_bytes([selection.share], scheme, length, row, each, bool(signal.ranked))
