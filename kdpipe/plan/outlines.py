"""What a Python source says: the modules that it names, and a digest of what it does.

Working it out takes about 5 ms a module, and a job of a cluster asks for a hundred modules three times. So
outlines are kept in the user's cache, each under a digest of its source and of this module's.
"""

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from platformdirs import user_cache_path
from pydantic import TypeAdapter

from kdpipe.digest import digest

# How code names what is imported later, such as the class of a family's configs.
OBJECT = re.compile(r"[a-z_0-9.]+:\w+")
VALIDATOR = re.compile(r"(model|field)_validator\(")
HAS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Outline(NamedTuple):
    """What a source imports anywhere, or names by a text, as "module" or "module:Object"; and a digest."""

    names: list[str]
    digest: str


_KEPT = TypeAdapter(Outline)


def outline(source: str, part: str = "") -> Outline:
    """Return the outline of a source, from the user's cache where it is there.

    Args:
        source: the source of a module.
        part: a class, function or constant of the module, with which only what it uses of the module counts.
    """
    try:
        file = user_cache_path("kdpipe") / "outlines" / f"{_key(source, part)}.json"
    except RuntimeError:
        # The user has no home.
        return _outline(source, part)
    try:
        return _KEPT.validate_json(file.read_bytes())
    except (OSError, ValueError):
        parsed = _outline(source, part)
        _keep(parsed, file)
        return parsed


def _key(source: str, part: str) -> str:
    return hashlib.sha256(b"\0".join((_own_source(), part.encode(), source.encode()))).hexdigest()


@cache
def _own_source() -> bytes:
    return Path(__file__).read_bytes()


def _keep(parsed: Outline, file: Path) -> None:
    """Write an outline as a whole; where nothing can be kept, it is worked out each time."""
    written = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(json.dumps(parsed._asdict()), encoding="utf-8")
        written.replace(file)
    except OSError:
        pass


def _outline(source: str, part: str) -> Outline:
    tree = ast.parse(source)
    if part:
        tree.body = list(_used_by(part, tree.body))
    names = {name for node in ast.walk(tree) for name in _named(node)}
    return Outline(sorted(names), digest(_nested(tree)))


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and OBJECT.fullmatch(node.value):
        yield node.value
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}:{alias.name}" for alias in node.names)


def _used_by(part: str, body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module that a part of it uses, of imports only the names that it uses."""
    binds = [(statement, set(_bound(statement))) for statement in map(_without_checks, body)]
    used, waiting = set[str](), {part}
    while waiting:
        used |= waiting
        statements = [statement for statement, names in binds if names & waiting]
        waiting = {
            n.id for statement in statements for n in ast.walk(statement) if isinstance(n, ast.Name)
        } - used
    for statement, names in binds:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            statement.names = [alias for alias in statement.names if (alias.asname or alias.name) in used]
        if names & used:
            yield statement


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a module defines or adds to."""
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            yield name
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from (alias.asname or alias.name for alias in names)
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            named = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
            yield from (node.id for node in named if isinstance(node.ctx, ast.Store))


def _without_checks(statement: ast.stmt) -> ast.stmt:
    """Take the validators out of a class, which refuse settings but are no part of what follows from them."""
    if isinstance(statement, ast.ClassDef):
        statement.body = [item for item in statement.body if not _is_check(item)]
    return statement


def _is_check(statement: ast.stmt) -> bool:
    decorators = getattr(statement, "decorator_list", [])
    return any(VALIDATOR.match(ast.unparse(decorator)) for decorator in decorators)


def _nested(node: Any) -> Any:
    """Return a syntax tree as lists, without docstrings and without what only some Pythons have."""
    if isinstance(node, list):
        return [_nested(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value is not None and value != []}
    if isinstance(node, HAS_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    return [type(node).__name__, *([name, _nested(value)] for name, value in sorted(fields.items()))]
