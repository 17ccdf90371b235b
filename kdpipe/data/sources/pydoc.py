"""Docstrings of the standard library and of installed packages: English that every machine has."""

import ast
import re
import sys
import sysconfig
import warnings
import zlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib.machinery import PathFinder
from inspect import cleandoc
from pathlib import Path
from typing import NamedTuple

from kdpipe.data.source import STANDARD_SPLITS, TEST, TRAIN, VALIDATION, Example
from kdpipe.errors import DataError

STDLIB = "stdlib"
DEFAULT_PACKAGES = (STDLIB, "numpy", "pandas", "matplotlib", "sklearn", "networkx", "huggingface_hub")
SHORTEST_SUMMARY = 5
_SKIPPED_FOLDERS = frozenset({"test", "tests"})
_SHARES = {VALIDATION: range(8, 9), TEST: range(9, 10)}

_Block = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Docstring(NamedTuple):
    """A docstring without its indentation, its package or `stdlib`, its module, and its line there."""

    package: str
    module: str
    line: int
    text: str


class PydocSource:
    """Docstrings from the installed source files, which are parsed and never imported.

    Packages are read in the order of `packages`, modules in the order of their names. Among texts that differ
    only in case, digits and punctuation the first is read. A whole module is in train (80 %), validation or
    test, by a checksum of its name. The texts depend on the installed versions.

    Args:
        task: `language_modeling`: every docstring as one line. `classification`: the first
            paragraph of each, and which package it comes from.
        packages: import names of installed packages; `stdlib` is the standard library. The default
            is packages that kdpipe itself needs.
    """

    tasks: tuple[str, ...] = ("language_modeling", "classification")

    def __init__(self, *, task: str, packages: list[str] | None = None) -> None:
        self.task = task
        self._packages = DEFAULT_PACKAGES if packages is None else tuple(dict.fromkeys(packages))

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The packages, for classification."""
        return self._packages if self.task == "classification" else None

    def modules(self) -> list[Path]:
        """Return the source files of the packages."""
        return [file for package in self._packages for _, file in sorted(_modules(package))]

    def splits(self) -> tuple[str, ...]:
        """Return train, validation and test."""
        return STANDARD_SPLITS

    def read(self, split: str) -> Iterator[Example]:
        """Yield the docstrings of the modules of a split; the id is `module:line`."""
        if split not in STANDARD_SPLITS:
            raise DataError(f"expected a split {split!r}, found {', '.join(STANDARD_SPLITS)}")
        for doc in self._docstrings:
            if _split_of(doc.module) == split:
                label = doc.package if self.task == "classification" else None
                yield Example(f"{doc.module}:{doc.line}", doc.text, label=label)

    def peek(self, split: str) -> Iterator[Example]:
        """Yield nothing, but check that the packages are installed."""
        for package in self._packages:
            _entries(package)
        yield from ()

    @cached_property
    def _docstrings(self) -> list[Docstring]:
        docs = (doc for package in self._packages for doc in _read_package(package))
        if self.task == "classification":
            summaries = (doc._replace(text=doc.text.split("\n\n", 1)[0]) for doc in docs)
            docs = (doc for doc in summaries if len(doc.text.split()) >= SHORTEST_SUMMARY)
        return list(_distinct(docs))


def _read_package(package: str) -> Iterator[Docstring]:
    for module, file in sorted(_modules(package)):
        source = file.read_bytes()
        if b'"""' in source or b"'''" in source:
            yield from _parse(source, package, module)


def _modules(package: str) -> Iterator[tuple[str, Path]]:
    for entry in _entries(package):
        for file in [entry] if entry.is_file() else entry.rglob("*.py"):
            names = file.relative_to(entry.parent).with_suffix("").parts
            if _SKIPPED_FOLDERS.isdisjoint(names[:-1]):
                yield ".".join(names).removesuffix(".__init__"), file


def _entries(package: str) -> list[Path]:
    if package == STDLIB:
        # The folder also holds other modules, such as all installed packages.
        beside = Path(sysconfig.get_path("stdlib")).iterdir()
        modules = [entry for entry in beside if entry.stem in sys.stdlib_module_names]
        return [entry for entry in modules if entry.suffix in ("", ".py")]
    spec = PathFinder.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"pydoc: expected an installed package, found none of the name {package!r}; install it,"
            " or take it out of `packages`"
        )
    return [Path(folder) for folder in spec.submodule_search_locations]


def _parse(source: bytes, package: str, module: str) -> Iterator[Docstring]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            # Some packages ship templates and files for other versions of Python.
            return
    for constant in _docstrings_in(tree):
        text = cleandoc(str(constant.value)).strip()
        if text:
            yield Docstring(package, module, constant.lineno, text)


def _docstrings_in(block: _Block) -> Iterator[ast.Constant]:
    match block.body:
        case [ast.Expr(value=ast.Constant(value=str()) as constant), *_]:
            yield constant
    if isinstance(block, ast.Module | ast.ClassDef):
        for statement in block.body:
            if isinstance(statement, _Block):
                yield from _docstrings_in(statement)


def _distinct(docs: Iterable[Docstring]) -> Iterator[Docstring]:
    """Yield each text once, on one line."""
    seen = set()
    for doc in docs:
        key = re.sub(r"[\W\d_]+", " ", doc.text.lower()).strip()
        if key and key not in seen:
            seen.add(key)
            yield doc._replace(text=" ".join(doc.text.split()))


def _split_of(module: str) -> str:
    tenth = zlib.crc32(module.encode()) % 10
    return next((split for split, tenths in _SHARES.items() if tenth in tenths), TRAIN)
