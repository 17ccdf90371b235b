"""What settings mean, read from their docstrings."""

import inspect
import re

from pydantic import BaseModel

ARGUMENT = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def summary_of(model: type[BaseModel]) -> str:
    """Return the first line of the docstring of a settings model, or of that it is generated from."""
    return (inspect.getdoc(model) or "").partition("\n")[0]


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return what each setting of a model means, on one line, as far as docstrings tell."""
    found: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        arguments = inspect.cleandoc(parent.__doc__ or "").partition("Args:\n")[2]
        found |= {name: " ".join(text.split()) for name, text in ARGUMENT.findall(arguments)}
    return {name: found[name] for name in model.model_fields if name in found}
