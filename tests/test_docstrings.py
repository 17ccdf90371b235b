"""Every public method says what it does, or inherits a docstring that says it."""

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module

import kdpipe


def _methods() -> Iterator[tuple[str, object]]:
    """Yield the public methods of the classes of kdpipe with their names."""
    for module in pkgutil.walk_packages(kdpipe.__path__, "kdpipe."):
        for cls in vars(import_module(module.name)).values():
            if inspect.isclass(cls) and cls.__module__ == module.name:
                for name, member in vars(cls).items():
                    if not name.startswith("_") and (
                        inspect.isfunction(member) or isinstance(member, property)
                    ):
                        yield f"{module.name}.{cls.__qualname__}.{name}", getattr(cls, name)


def test_public_methods_have_or_inherit_a_docstring() -> None:
    methods = dict(_methods())
    assert len(methods) > 300
    assert [name for name, method in methods.items() if not inspect.getdoc(method)] == []
