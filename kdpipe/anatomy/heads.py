"""Which head a saved model has, by its config and the names of its tensors, and what is dropped of these."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from kdpipe.anatomy.families import family_facts, stock_class
from kdpipe.declarations import lineage
from kdpipe.errors import ModelError, shortened, some

# Classes whose tensors look like those of a classifier, which they are not.
OTHERWISE = ("ForMultipleChoice",)


def saved_as(family: str, architectures: Sequence[str], tensors: Collection[str]) -> str:
    """Return the class of a model: that which it was saved as, or that whose head it has.

    Raises:
        ModelError: the class is none of its family, or its weights may be those of several.
    """
    facts = family_facts(family)
    stems = [definition.name.removesuffix("Config") for _, definition in lineage(facts["config_class"])]
    given = architectures[0] if architectures else ""
    if given and not stock_class(given).startswith(tuple(stems)):
        raise ModelError(
            f"architectures: expected a class of the family {family}, such as {stems[0]}Model, "
            f"found {shortened(given, 200)}"
        )
    if stock_class(given) in facts["heads"].values() or given.endswith(OTHERWISE):
        return given
    if kinds := list(_kinds_there(facts["head_tensors"], tensors)):
        return _class_of(facts, kinds)
    return given or f"{stems[0]}Model"


def dropped_tensors(family: str, architecture: str, tensors: Iterable[str]) -> list[str]:
    """Return which tensors of a saved model are those of other heads than it has; nobody reads them.

    Raises:
        ModelError: it has a head, and tensors besides that are of no head known.
    """
    facts = family_facts(family)
    kind = next((kind for kind, own in facts["heads"].items() if own == stock_class(architecture)), "")
    own = (*facts["body"], *facts["head_tensors"].get(kind, ()))
    others = [name for name in tensors if not _begins(name, own)]
    heads = (*facts["other_heads"], *(piece for pieces in facts["head_tensors"].values() for piece in pieces))
    unknown = [name for name in others if not _begins(name, heads)]
    if kind and unknown:
        raise ModelError(
            f"{architecture} has no place for {some(unknown)}; without them it would be another model: "
            "take the model that they belong to, or save it without them where they mean nothing"
        )
    return others


def in_body(family: str, tensor: str) -> bool:
    """Tell whether a tensor has the name of one of a body."""
    return _begins(tensor, family_facts(family)["body"])


def _kinds_there(head_tensors: Mapping[str, Sequence[str]], tensors: Collection[str]) -> Iterator[str]:
    for kind, pieces in head_tensors.items():
        if all(any(_begins(name, [piece]) for name in tensors) for piece in pieces):
            yield kind


def _class_of(facts: Mapping[str, Any], kinds: Sequence[str]) -> str:
    """Return the class of the first of several kinds of head, if its tensors tell it from the others."""
    first = facts["head_tensors"][kinds[0]]
    alike = [facts["heads"][kind] for kind in kinds if facts["head_tensors"][kind] == first]
    if len(alike) > 1:
        raise ModelError(
            f"architectures: the weights are those of {' and of '.join(alike)}; give the one that was saved"
        )
    return str(alike[0])


def _begins(name: str, pieces: Iterable[str]) -> bool:
    return any(name.startswith(tuple(piece.split("|"))) for piece in pieces)
