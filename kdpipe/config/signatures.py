"""Settings models made from constructors, read from their source so that nothing heavy is imported.

The options of a loss or a source are the parameters of its constructor; `training` has the fields of
`transformers.TrainingArguments`; an architecture has the fields of its transformers config class.
A parameter of ours that cannot be read is an error; a field of transformers that cannot be takes any value.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from pydantic import BaseModel, Field, StrictInt, create_model

from kdpipe.config.settings.bounds import MANY, Probabilities
from kdpipe.config.settings.schedules import PositiveTemperature, Temperature
from kdpipe.declarations import assignment, lineage, syntax_tree
from kdpipe.errors import KdpipeError

Model = TypeVar("Model", bound=BaseModel)
REQUIRED: Any = ...
TYPES: Mapping[str, Any] = {
    "Mapping[str, Path]": Mapping[str, Path],
    "Path": Path,
    # Temperatures.
    "PositiveFloat": PositiveTemperature,
    "PositiveFloat | TemperatureSchedule": Temperature,
    "Probabilities": Probabilities,
    "PositiveInt": Annotated[int, Field(ge=1, le=MANY)],
    **{kind.__name__: kind for kind in (bool, dict, float, int, list, str, tuple)},
}


@dataclass(frozen=True)
class Option:
    """One option of a constructor: its type for pydantic, and its default, `...` where it has none."""

    type: Any
    default: Any


class _Lenient(dict[str, Any]):
    """Types by name, where any other name stands for any type."""

    def __missing__(self, name: str) -> Any:
        return Any


@cache
def constructor_options(target: str) -> dict[str, Option]:
    """Return the options of a class: the parameters of its own or inherited constructor, without `self`.

    Raises:
        KdpipeError: an annotation or a default cannot be read from source.
    """
    for module, definition in lineage(target):
        for node in definition.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                return dict(_parameters(node.args, f"{module}:{definition.name}"))
    return {}


@cache
def field_options(target: str) -> dict[str, Option]:
    """Return the fields of a dataclass-like class, such as a config class of transformers."""
    return {
        node.target.id: Option(read_type(node.annotation, enums(module)), None)
        for module, definition in reversed(list(lineage(target)))
        for node in definition.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def read_type(annotation: ast.expr, known: Mapping[str, Any] = TYPES) -> Any:
    """Return the type that an annotation's syntax tree spells.

    Raises:
        KeyError: a part of it is not known.
    """
    if (whole := ast.unparse(annotation)) in known:
        return known[whole]
    match annotation:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str(text)):
            return read_type(ast.parse(text, mode="eval").body, known)
        case ast.Name(id=name):
            return known[name]
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _union(read_type(left, known), read_type(right, known))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            return Literal[ast.literal_eval(inner)]
        case ast.Subscript(
            value=ast.Name(id="Annotated"),
            slice=ast.Tuple(elts=[kind, ast.Call(func=ast.Name(id="Field")) as limits]),
        ):
            bounds = {limit.arg: ast.literal_eval(limit.value) for limit in limits.keywords if limit.arg}
            return Annotated[read_type(kind, known), Field(**bounds)]
        case ast.Subscript(value=ast.Name(id=("list" | "tuple" | "dict") as name), slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return TYPES[name][tuple(read_type(item, known) for item in items)]
        case ast.Constant(value=value) if value is Ellipsis:
            return ...
    return known[whole]


@cache
def enums(module: str) -> dict[str, Any]:
    """Return plain types, and the enumerations that a module defines or imports from `trainer_utils`."""
    types = _Lenient(TYPES)
    package = module.rpartition(".")[0]
    beside = [
        f"{package}.{node.module}"
        for node in syntax_tree(module).body
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module == "trainer_utils"
    ]
    for name in [*beside, module]:
        for node in syntax_tree(name).body:
            if isinstance(node, ast.ClassDef) and node.bases and "Enum" in ast.unparse(node.bases[0]):
                values = tuple(v.value for _, v in map(assignment, node.body) if isinstance(v, ast.Constant))
                types[node.name] = Literal[values] if values else str
    return types


def options_model(
    name: str,
    base: type[Model] | tuple[type[Model], ...],
    options: Mapping[str, Option],
    doc: str | None = None,
) -> type[Model]:
    """Make a settings model whose fields are options, so that pydantic checks their names and types."""
    fields: dict[str, Any] = {key: (option.type, option.default) for key, option in options.items()}
    return create_model(name, __base__=base, __doc__=doc, **fields)


def _parameters(arguments: ast.arguments, target: str) -> Iterator[tuple[str, Option]]:
    positional = arguments.args[1:]
    first_default = len(positional) - len(arguments.defaults)
    defaults = [None] * max(first_default, 0) + list(arguments.defaults)
    pairs = [
        *zip(positional, defaults, strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    for argument, default in pairs:
        if isinstance(default, ast.Call) and ast.unparse(default.func) == "MappingProxyType":
            default = default.args[0]
        try:
            literal = REQUIRED if default is None else ast.literal_eval(default)
            yield argument.arg, Option(read_type(argument.annotation or ast.Name("no annotation")), literal)
        except (KeyError, ValueError) as error:
            raise KdpipeError(
                f"{target}: the options of a config are read from source, but not `{ast.unparse(argument)}` "
                f"({error}); use types that kdpipe.config.signatures knows, and a literal as default"
            ) from None


def _union(left: Any, right: Any) -> Any:
    if str in (left, right):
        other = right if left is str else left
        # `IntervalStrategy | str` means one of the enumeration's values.
        if getattr(other, "__origin__", None) is Literal:
            return other
        # A number that may be a name is not converted: 1.0 is not called 1.
        if other is int:
            return str | StrictInt
    return Union[left, right]  # noqa: UP007 (the operands are values)
