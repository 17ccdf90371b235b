"""Losses, each a module. The classes of the catalog are also names here, imported when they are used."""

from typing import Any

from kdpipe import catalog


def __getattr__(name: str) -> Any:
    for target in catalog.LOSSES.values():
        if target.endswith(f":{name}"):
            return catalog.load(target)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
