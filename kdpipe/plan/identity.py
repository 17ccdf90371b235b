"""What of kdpipe's own code the result of a stage depends on.

A stage runs the modules that it imports, directly or through others, the modules that its settings,
datasets and models name in the catalog, and the `__init__` of every package that holds any of them.
Settings, and readers of the files of models, count by the classes and functions that are imported. Nothing
counts that says how a stage is run, where artifacts lie, or how a mistake is worded.

The digest of a module is taken of its syntax tree, so that layout, comments and docstrings change nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdpipe import catalog
from kdpipe.config.settings.base import Settings
from kdpipe.declarations import source_file
from kdpipe.digest import digest
from kdpipe.plan.entries import Facts
from kdpipe.plan.outlines import Outline, outline

if TYPE_CHECKING:
    from kdpipe.plan.graph import Graph

PACKAGE = "kdpipe"
INIT = "__init__.py"
# What changes no result.
APART = (
    "kdpipe.artifacts",
    "kdpipe.catalog",
    "kdpipe.commands",
    "kdpipe.config",
    "kdpipe.declarations",
    "kdpipe.errors",
    "kdpipe.plan",
    "kdpipe.runner",
)
# What counts of these packages all the same, as far as it is imported by name.
IN_PARTS = ("kdpipe.config.settings", "kdpipe.config.signatures", "kdpipe.plan.saved", "kdpipe.plan.stages")
# How settings are read and refused.
READING = tuple(f"kdpipe.config.settings.{name}" for name in ("base", "bounds", "explanation"))
# Settings that are names in the catalog, with the kinds that they name.
NAMING = {
    "criterion": ("criteria",),
    "family": ("families",),
    "loss": ("losses",),
    "method": ("methods", "augmentations"),
    "source": ("sources",),
    "task": ("tasks",),
}
PRUNED_MODELS = "kdpipe.models.pruned"


def modules_of(graph: "Graph", stage: str, names: Iterable[str], *settings: Settings) -> tuple[str, ...]:
    """Return the modules of a job's stage and of the entries of the catalog that it names.

    Args:
        graph: the graph.
        stage: the module of the stage.
        names: the models and datasets whose code it runs.
        settings: what it is told.
    """
    modules = {stage}
    for options in settings:
        # Units are scored by a stage of its own.
        modules.update(modules_named(options.model_dump(mode="json", exclude={"importance"})))
    for name in names:
        if name in graph.datasets:
            modules.add(module_of(catalog.TASKS[graph.datasets[name].task]))
        if name in graph.nodes:
            modules.update(_modules_of_model(graph.facts[name]))
    return tuple(sorted(modules))


def _modules_of_model(facts: Facts) -> Iterator[str]:
    known = [catalog.FAMILIES[facts.shape.family]] if facts.shape.family else catalog.FAMILIES.values()
    yield from map(module_of, known)
    if facts.ranked is not False or facts.embedding_rank or facts.sparsity != 0:
        yield PRUNED_MODELS


def modules_named(settings: Any) -> Iterator[str]:
    """Yield the modules of the entries of the catalog that settings name."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            for entries in (catalog.KINDS[kind] for kind in NAMING.get(key, ())):
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
    modules: set[str] = set()
    waiting = set(roots)
    while waiting:
        modules |= waiting
        waiting = {name for module in waiting for name in _imports(module)} - modules
    return {module: _module_digest(module) for module in sorted(modules)}


@cache
def _imports(name: str) -> frozenset[str]:
    """Return the packages that hold a module or a module's part, and what it imports, anywhere, or names.

    What a package imports, such as architectures that it registers, counts for jobs that name it themselves.
    """
    module = module_of(name)
    parts = module.split(".")
    above = [".".join(parts[:number]) for number in range(1, len(parts))]
    named = [] if _file(module).name == INIT else _outline(name).names
    names = [target for target in named if module_of(target).partition(".")[0] in (PACKAGE, parts[0])]
    return frozenset(filter(None, map(_counted, [*above, *names])))


@cache
def _counted(name: str) -> str:
    """Return the module or the part of a module that a name stands for; "" if it does not count."""
    module, _, part = name.partition(":")
    if part and _file(f"{module}.{part}").is_file():
        module, part = f"{module}.{part}", ""
    # The package itself only names what the library offers.
    if module == PACKAGE or not _file(module).is_file() or _is_in(module, READING):
        return ""
    if _is_in(module, IN_PARTS):
        return f"{module}:{part}" if part else ""
    return "" if _is_in(module, APART) else module


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _file(name: str) -> Path:
    """Return the file of a module, or the `__init__` of a package."""
    file = source_file(name)
    return file if file.is_file() else file.with_suffix("") / INIT


@cache
def _outline(name: str) -> Outline:
    module, _, part = name.partition(":")
    return outline(_file(module).read_text(encoding="utf-8"), part)


@cache
def _module_digest(name: str) -> str:
    """Return the digest of a module or of a part of it, with the templates and style sheets beside it."""
    folder = _file(module_of(name)).parent
    beside = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in (".css", ".j2"))
    return digest([_outline(name).digest, *(path.read_text(encoding="utf-8") for path in beside)])
