"""What of kdpipe's own code the result of a stage depends on.

A stage runs the modules that it imports, directly or through others, those that its settings, datasets and
models name in the catalog, and the `__init__` of every package that holds any of them. The digest of a module
is that of its syntax tree, so that layout, comments and docstrings change nothing; the catalog, which only
names, does not count.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.declarations import source_file
from kdpipe.digest import digest
from kdpipe.plan.outlines import Outline, outline

PACKAGE = "kdpipe"
INIT = "__init__.py"
# Settings that are names in the catalog, with the kind that they name.
NAMING = {
    "criterion": "criteria",
    "family": "families",
    "loss": "losses",
    "method": "methods",
    "source": "sources",
    "task": "tasks",
}


def modules_named(settings: Any) -> Iterator[str]:
    """Yield the modules of the entries of the catalog that settings name."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            entries = catalog.KINDS.get(NAMING.get(key, ""), {})
            if isinstance(value, str) and value in entries:
                yield module_of(entries[value])
            yield from modules_named(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from modules_named(value)


def module_of(target: str) -> str:
    """Return the module that "module:Object" or "module" names."""
    return target.partition(":")[0]


def code_of(modules: Iterable[str]) -> dict[str, str]:
    """Return the digests of modules and of all of kdpipe that they import, by their names."""
    return _code(frozenset(modules))


def identity(code: Mapping[str, str]) -> str:
    """Return one digest for the digests of modules."""
    return digest(sorted(code.items()))


@cache
def _code(roots: frozenset[str]) -> dict[str, str]:
    found: set[str] = set()
    waiting = set(roots)
    while waiting:
        found |= waiting
        waiting = {name for module in waiting for name in _imports(module)} - found
    return {module: _module_digest(module) for module in sorted(found)}


@cache
def _imports(module: str) -> frozenset[str]:
    """Return the packages that hold a module, and what of kdpipe it imports, anywhere, or names.

    What a package imports, such as architectures that it registers, counts for those that name it themselves.
    """
    parts = module.split(".")
    above = [".".join(parts[:number]) for number in range(1, len(parts))]
    named = [] if _file(module).name == INIT else filter(_counts, _outline(module).names)
    return frozenset([*above, *named])


@cache
def _counts(name: str) -> bool:
    own = name.startswith(f"{PACKAGE}.") and name != catalog.__name__
    return own and _file(name).is_file()


def _file(name: str) -> Path:
    """Return the file of a module, or the `__init__` of a package."""
    file = source_file(name)
    return file if file.is_file() else file.with_suffix("") / INIT


@cache
def _outline(module: str) -> Outline:
    return outline(_file(module).read_text(encoding="utf-8"))


@cache
def _module_digest(module: str) -> str:
    """Return the digest of a module, and of the templates and style sheets beside it."""
    folder = _file(module).parent
    beside = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in (".css", ".j2"))
    return digest([_outline(module).digest, *(path.read_text(encoding="utf-8") for path in beside)])
