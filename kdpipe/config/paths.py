"""Paths in a config: paths that no file system has, and folders that cannot hold results."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator

Checked = TypeVar("Checked")
# In bytes. Linux takes names of 255 and paths of 4,096, and the folders around need a share of them; what
# belongs to an artifact is called by the last part of `results` and two names.
LONGEST_NAME, LONGEST_PATH, LONGEST_FOLDER = 255, 1000, 100
SHOWN = 60
FILLED_IN = "Snakemake fills in what stands in braces or angle brackets"


def _refusing(fault: Callable[[Any], str | None]) -> Callable[[Checked], Checked]:
    """Return a validator that refuses values with a fault."""

    def validate(path: Checked) -> Checked:
        if what := fault(path):
            raise ValueError(what)
        return path

    return validate


EMPTY = "is empty; give a path, such as `.` for the working folder"
NOT_EMPTY = BeforeValidator(_refusing(lambda path: EMPTY if path == "" else None))
possible = _refusing(lambda path: _fault(str(path)))
LocalPath = Annotated[Path, NOT_EMPTY, AfterValidator(possible)]
OutputFolder = Annotated[Path, NOT_EMPTY, AfterValidator(_refusing(lambda path: folder_fault(path)))]


def _fault(text: str) -> str | None:
    """Return why there can be no such path."""
    if not text:
        return "is empty; give a path"
    if any("\ud800" <= character < "\udc80" or "\udcff" < character <= "\udfff" for character in text):
        return f"a path cannot hold text that is not Unicode, found {text[:SHOWN]!r}"
    if "\0" in text:
        return f"a path cannot hold the character NUL, found {text[:SHOWN]!r}"
    if text.startswith("~"):
        return f"`~` stands for no home folder here; write the path out, found {text[:SHOWN]!r}"
    if is_filled_in(text):
        return f"{FILLED_IN}; take them out, found {text[:SHOWN]!r}"
    longest = max(map(_size, text.split("/")))
    if longest > LONGEST_NAME or _size(text) > LONGEST_PATH:
        return (
            f"paths have at most {LONGEST_PATH} bytes and {LONGEST_NAME} in a name, "
            f"found {_size(text)} and {longest}: {text[:SHOWN]!r}…"
        )
    return None


def is_filled_in(text: str) -> bool:
    """Tell whether Snakemake would take a path for a pattern."""
    return not set("{}<>").isdisjoint(text)


def folder_fault(path: Path) -> str | None:
    """Return why the workflow cannot write below a folder, as something that it runs takes it for another."""
    text = str(path)
    fault, shown = _fault(text), f"found {text[:SHOWN]!r}"
    if fault:
        return fault
    if not text.isprintable():
        return f"a folder of the workflow cannot have line breaks or the like in its path, {shown}"
    if text.startswith("-"):
        return f"commands take for an option what begins with `-`; write the whole path, {shown}"
    if text.startswith("@"):
        return f"stages take for a file of arguments what begins with `@`; write the whole path, {shown}"
    if ":" in text.partition("/")[0]:
        return f"what begins with a word and a colon is taken for an address; write the whole path, {shown}"
    if text != text.strip():
        return f"take out the blanks at its ends, {shown}"
    if _size(path.name) > LONGEST_FOLDER:
        return f"its last name may have {LONGEST_FOLDER} bytes, found {_size(path.name)}: {text[:SHOWN]!r}…"
    return None


def place_fault(path: Path) -> str | None:
    """Return why there can be no folder at a path: what is there already."""
    for place in (path, *path.parents):
        if os.path.isdir(place):  # noqa: PTH112 (it takes what cannot be looked at for none)
            break
        if os.path.lexists(place):
            what = "a link that leads to no folder" if place.is_symlink() else "a file"
            return f"expected a folder, or a path where one can be made, but {place} is {what}"
    if os.path.realpath(path) == "/":
        return "the root of a file system cannot hold results; give a folder of its own"
    return None


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))
