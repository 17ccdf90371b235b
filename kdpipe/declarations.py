"""What the source of a module declares, read without importing the module: classes, constants, docstrings."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kdpipe.errors import KdpipeError


def source_file(module: str) -> Path:
    """Return the file of a module without importing it or the packages above it."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(module)
    return Path(spec.submodule_search_locations[0], *rest).with_suffix(".py")


@cache
def syntax_tree(module: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(source_file(module).read_text(encoding="utf-8"))


def find_class(target: str) -> ast.ClassDef:
    """Return the definition of the class that `module:Class` names."""
    module, _, name = target.partition(":")
    for node in syntax_tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise LookupError(target)


def lineage(target: str) -> Iterator[tuple[str, ast.ClassDef]]:
    """Yield module and definition of a class, then of its bases that are imported by full name.

    Bases that a library imports by a relative name do not count, such as `PreTrainedConfig`.
    """
    module = target.partition(":")[0]
    definition = find_class(target)
    yield module, definition
    imported = {
        alias.name: f"{node.module}:{alias.name}"
        for node in syntax_tree(module).body
        if isinstance(node, ast.ImportFrom) and node.level == 0
        for alias in node.names
    }
    for base in definition.bases:
        if isinstance(base, ast.Name) and imported.get(base.id, "").startswith(("kdpipe.", "transformers.")):
            yield from lineage(imported[base.id])


def docstring(target: str) -> str:
    """Return the docstring of the class or the module that a catalog entry names."""
    node = find_class(target) if ":" in target else syntax_tree(target)
    return ast.get_docstring(node) or ""


@cache
def constants(target: str) -> dict[str, Any]:
    """Return the literal class attributes of a class, such as `student_kinds` of a loss.

    Raises:
        KdpipeError: an attribute that a base declares is not a literal, so that the base's value would stand.
    """
    values, declared = {}, set()
    for module, definition in reversed(list(lineage(target))):
        for name, value in map(assignment, definition.body):
            if name and value is not None:
                try:
                    values[name] = ast.literal_eval(value)
                except ValueError:
                    if name in declared and not module.startswith("transformers."):
                        raise KdpipeError(f"{target}: {name} is read from source; write a literal") from None
            declared.add(name)
    return values


@cache
def mapping_keys(target: str) -> tuple[str, ...]:
    """Return the keys of the literal mapping that `module:NAME` is, such as the names of activations."""
    module, _, wanted = target.partition(":")
    for name, value in map(assignment, syntax_tree(module).body):
        if name == wanted and isinstance(value, ast.Dict):
            return tuple(ast.literal_eval(key) for key in value.keys if key)
    raise LookupError(target)


def assignment(node: ast.stmt) -> tuple[str | None, ast.expr | None]:
    """Return the name and the value of an assignment to a name; None and None of other statements."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            return name, value
    return None, None
