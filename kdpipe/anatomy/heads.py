"""Which head a saved model has, by its config and the names of its tensors, and what is dropped of these."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from kdpipe.anatomy.families import family_facts, stock_class
from kdpipe.declarations import lineage
from kdpipe.errors import ModelError, shortened, some

# The subfolder of a model's folder that has a model with the same body for each of several heads.
HEADS = "heads"
# Classes that are no classifiers, though their tensors look like a classifier's.
LIKE_CLASSIFIERS = ("ForMultipleChoice",)


def saved_as(family: str, architectures: Sequence[str], tensors: Collection[str]) -> str:
    """Return the class of a model: the class that it was saved as, or the class whose head it has.

    Raises:
        ModelError: the class is none of its family, or several classes have such weights.
    """
    facts = family_facts(family)
    stems = [definition.name.removesuffix("Config") for _, definition in lineage(facts["config_class"])]
    architecture = architectures[0] if architectures else ""
    if architecture and not stock_class(architecture).startswith(tuple(stems)):
        raise ModelError(
            f"architectures: expected a class of the family {family}, such as {stems[0]}Model, "
            f"found {shortened(architecture, 200)}"
        )
    heads = _tensors_by_class(facts)
    if stock_class(architecture) in heads or architecture.endswith(LIKE_CLASSIFIERS):
        return architecture
    whole = [
        name for name, pieces in heads.items() if all(any(_begins(t, [p]) for t in tensors) for p in pieces)
    ]
    alike = [name for name in whole if heads[name] == heads[whole[0]]]
    if len(alike) > 1:
        raise ModelError(
            f"architectures: {' and '.join(alike)} have such weights; give the class of the model"
        )
    return alike[0] if alike else architecture or f"{stems[0]}Model"


def dropped_tensors(family: str, architecture: str, tensors: Iterable[str]) -> list[str]:
    """Return the tensors of a saved model that belong to heads that it does not have; nobody reads them.

    Raises:
        ModelError: it has a head, and tensors besides that are of no head known.
    """
    facts = family_facts(family)
    by_class = _tensors_by_class(facts)
    prefixes = (*facts["body"], *by_class.get(stock_class(architecture), ()))
    others = [name for name in tensors if not _begins(name, prefixes)]
    heads = (*facts["other_heads"], *chain.from_iterable(by_class.values()))
    unknown = [name for name in others if not _begins(name, heads)]
    if stock_class(architecture) in by_class and unknown:
        raise ModelError(
            f"{architecture} has no place for {some(unknown)}; without them it would be another model: "
            "take the model that they belong to, or save it without them where they mean nothing"
        )
    return others


def in_body(family: str, tensor: str) -> bool:
    """Tell whether a tensor has the name of one of a body."""
    return _begins(tensor, family_facts(family)["body"])


def _tensors_by_class(facts: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """Return the beginnings of the names of the tensors of each head, by the class with this head."""
    return {name: pieces for name, *pieces in facts["heads"].values()}


def _begins(name: str, pieces: Iterable[str]) -> bool:
    return any(name.startswith(tuple(piece.split("|"))) for piece in pieces)
