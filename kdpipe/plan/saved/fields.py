"""Fields of a saved model's config besides its architecture: what its head is, and what was pruned."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from unicodedata import category

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError

from kdpipe.config.mistakes import problems_of
from kdpipe.config.settings.base import Settings
from kdpipe.errors import ModelError

MOST_LABELS = 100_000
UnitCounts = dict[Literal["head", "neuron"], list[NonNegativeInt]]


class SavedFields(Settings):
    """What a config says besides the architecture.

    Args:
        architectures: the class that the model was saved as.
        id2label: names of the outputs of its head.
        label2id: the same the other way round.
        num_labels: how many these are, where they have no names.
        problem_type: what a head for texts is for.
        unit_counts: of a pruned model, the units of each place.
        ancestor_counts: of a pruned model, the units of the model that it was made of.
        embedding_rank: rank of its word embeddings.
        drops_empty_bias: whether what reads no units has no bias.
    """

    architectures: list[str] | None = None
    id2label: dict[str, str] | None = None
    label2id: dict[str, int] | None = None
    num_labels: Annotated[int, Field(ge=1, le=MOST_LABELS)] | None = None
    problem_type: (
        Literal["single_label_classification", "regression", "multi_label_classification"] | None
    ) = None
    unit_counts: UnitCounts | None = None
    ancestor_counts: dict[Literal["head", "neuron"], PositiveInt] | None = None
    embedding_rank: PositiveInt | None = None
    drops_empty_bias: bool | None = None


def validated(model: type[Any], fields: Mapping[str, Any]) -> Any:
    """Return settings made of fields, or raise a `ModelError` where a field is not exactly of its type."""
    try:
        return model.model_validate(fields, strict=True)
    except ValidationError as error:
        raise ModelError(short("; ".join(map(str, problems_of(error))))) from None


def labels_of(fields: SavedFields) -> list[str] | None:
    """Return the names of a head's outputs in their order; None where none are named or counted."""
    named, count = fields.id2label, fields.num_labels
    if named is None:
        return [f"LABEL_{index}" for index in range(count)] if count else None
    if sorted(named) != sorted(map(str, range(len(named)))) or not named:
        raise ModelError(f"id2label: expected names for the outputs 0 and so on, found {short(list(named))}")
    labels = [named[str(index)] for index in range(len(named))]
    if len({*labels}) < len(labels):
        raise ModelError(f"id2label: expected a name of its own for each output, found {short(labels)}")
    if count not in (None, len(labels)):
        raise ModelError(f"num_labels: id2label names {len(labels)} outputs, found {count}")
    if any(category(character) == "Cc" for label in labels for character in label):
        raise ModelError(f"id2label: expected names without control characters, found {short(labels)}")
    indices = fields.label2id or {}
    if indices.keys() == {*labels} and sorted(labels, key=indices.__getitem__) != labels:
        raise ModelError(f"label2id: {short(indices)} contradicts id2label, {short(named)}; correct one")
    return labels


def short(value: Any, most: int = 200) -> str:
    """Return a value as JSON, or a text as it is, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}…"
