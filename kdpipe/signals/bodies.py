"""Runs of a model's body that end where nobody reads on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from kdpipe.models.family import family_of


class ReachedError(Exception):
    """Ends a run whose further results nobody reads."""


def run_body(model: Any, inputs: Mapping[str, Tensor]) -> None:
    """Run the body of a model, to its end or until `ReachedError`."""
    try:
        model.base_model(**inputs)
    except ReachedError:
        return


@contextmanager
def ending_below(model: Any, block: int) -> Iterator[None]:
    """End runs of a model where a block, counted from 0, would begin; a block that it lacks ends none."""
    blocks = family_of(model).blocks(model.base_model)

    def end(module: nn.Module, args: Any) -> None:
        raise ReachedError

    handle = blocks[block].register_forward_pre_hook(end) if block < len(blocks) else None
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()
