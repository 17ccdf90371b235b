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
HAS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Outline(NamedTuple):
    """The modules that a source imports anywhere, or names by a text; a digest of its syntax tree."""

    names: list[str]
    digest: str


_KEPT = TypeAdapter(Outline)


def outline(source: str) -> Outline:
    """Return the outline of a source, from the user's cache where it is there."""
    try:
        kept = user_cache_path("kdpipe") / "outlines" / f"{_key(source)}.json"
    except RuntimeError:
        # The user has no home.
        return _outline(source)
    try:
        return _KEPT.validate_json(kept.read_bytes())
    except (OSError, ValueError):
        found = _outline(source)
        _keep(found, kept)
        return found


def _key(source: str) -> str:
    return hashlib.sha256(_own_source() + source.encode()).hexdigest()


@cache
def _own_source() -> bytes:
    return Path(__file__).read_bytes()


def _keep(found: Outline, kept: Path) -> None:
    """Write an outline as a whole; where nothing can be kept, it is worked out each time."""
    written = kept.with_suffix(f".{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(json.dumps(found._asdict()), encoding="utf-8")
        written.replace(kept)
    except OSError:
        pass


def _outline(source: str) -> Outline:
    tree = ast.parse(source)
    names = {name for node in ast.walk(tree) for name in _named(node)}
    return Outline(sorted(names), digest(_nested(tree)))


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and OBJECT.fullmatch(node.value):
        yield node.value.partition(":")[0]
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


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
