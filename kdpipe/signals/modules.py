"""Modules of a model's body that are named, and their outputs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from kdpipe.anatomy.signals import Signal
from kdpipe.errors import ModelError, suggest


def check_modules(model: Any, signals: Iterable[Signal]) -> None:
    """Refuse signals of modules that the body of a model does not have."""
    for signal in signals:
        if signal.kind == "module":
            find_module(model.base_model, str(signal.place))


def find_module(body: nn.Module, name: str) -> nn.Module:
    """Return the module of a body that has a name.

    Raises:
        ModelError: there is none.
    """
    try:
        found = body.get_submodule(name)
    except AttributeError:
        found = body
    if found is body:
        names = (known for known, _ in body.named_modules() if known)
        raise ModelError(f"{name!r} is no module of the {type(body).__name__}; {suggest(name, names)}")
    return found


def token_outputs(output: Callable[[], Any], name: str, batch: Mapping[str, Any]) -> Tensor:
    """Return the output [B, L, ...] of a module that has run on a batch.

    Raises:
        ModelError: it has not run, or its output is none of tokens.
    """
    shape = tuple(batch["input_ids"].shape)
    try:
        found = output()
    except IndexError:
        raise ModelError(f"the module {name!r} has not run; name a module that states pass through") from None
    if not isinstance(found, Tensor) or found.ndim < 3 or found.shape[:2] != shape:
        what = list(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ModelError(
            f"the module {name!r}: expected an output for each token, [{shape[0]}, {shape[1]}, width], found"
            f" {what}; name a module that reads and returns states of tokens"
        )
    return found
