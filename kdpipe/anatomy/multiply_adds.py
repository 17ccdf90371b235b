"""The multiply-adds of a model for one text, by its config and the sizes of its weights.

Linear maps count, and the two products of each attention, over the heads that it has left. A look-up in a
table of embeddings multiplies nothing. Norms, activations and biases, which take little, are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from kdpipe import catalog
from kdpipe.anatomy.families import (
    HEAD_TASKS,
    family_facts,
    family_name,
    head_kind,
    longest_input,
    shape_of,
)
from kdpipe.anatomy.heads import in_body

# Names that tables of embeddings end in; the last is the narrow table of factorized embeddings.
TABLES = ("embeddings", "embed_tokens", "shared", "wte", "wpe", "relative_attention_bias", "prompt", ".table")
OF_TEXTS = "ForSequenceClassification"
# Reads the first token, in a body alone and below the head for texts.
POOLER = "pooler."
# An EncT5 has a decoder that reads the prompts of its head; its second attention reads the encoder's states.
DECODER, CROSS = "decoder.", "EncDecAttention."
OF_KEYS, OF_CROSS = (f"{CROSS}k.weight", f"{CROSS}v.weight"), f"{CROSS}o.weight"
# Tokens of a text as long as most.
USUAL_LENGTH = 128


def multiply_adds(config: Mapping[str, Any], sizes: Mapping[str, tuple[int, ...]], length: int) -> int | None:
    """Return the multiply-adds of a model for one text; None where kdpipe does not know its family's parts.

    Args:
        config: the fields of its config; `architectures` names its class.
        sizes: the shape of each parameter by name, tied parameters among them.
        length: tokens of the text.
    """
    family = _family(config)
    facts = family_facts(family) if family else {}
    attends = "heads" in facts.get("shape_fields", ())
    if not facts or (attends and not facts["unit_names"]):
        return None
    run = _Run(family, head_kind(config), length)
    maps = {name: prod(size) for name, size in sizes.items() if len(size) == 2 and not _is_table(name)}
    linear = sum(entries * run.reads(name) for name, entries in maps.items())
    return linear + (_products(maps, run, config) if attends else 0)


def usual_length(config: Mapping[str, Any]) -> int:
    """Return the tokens of a usual text, or the most that a model reads where they are fewer."""
    family = _family(config)
    if not family:
        return USUAL_LENGTH
    task, *_ = HEAD_TASKS.get(head_kind(config), ("",))
    return min(USUAL_LENGTH, longest_input(shape_of(family, config), task) or USUAL_LENGTH)


@dataclass(frozen=True)
class _Run:
    """How many states of a text the parts of a model read.

    Args:
        family: its family.
        head: the kind of its head; "" without.
        length: tokens of the text.
    """

    family: str
    head: str
    length: int

    def reads(self, name: str) -> int:
        """Return how many states a linear map reads; 0 of a map that does not run."""
        return self.keys(name) if name.endswith(OF_KEYS) else self.queries(name)

    def queries(self, name: str) -> int:
        """Return how many states the part around a map gives; 0 of a part that does not run."""
        if POOLER in name:
            return int(self.head in ("", OF_TEXTS))
        of_head = 0 if not self.head else 1 if self.head == OF_TEXTS else self.length
        if in_body(self.family, name):
            return of_head if DECODER in name else self.length
        _, *pieces = family_facts(self.family)["heads"].get(self.head, ("",))
        return of_head if name.startswith(tuple(part for piece in pieces for part in piece.split("|"))) else 0

    def keys(self, name: str) -> int:
        """Return how many states an attention attends to."""
        return self.length if CROSS in name and self.head else self.queries(name)


def _products(maps: Mapping[str, int], run: _Run, config: Mapping[str, Any]) -> int:
    """Return the multiply-adds of queries with keys, and of probabilities with values.

    The map that reads the heads of an attention has an input for each number of each head.
    """
    output = family_facts(run.family)["unit_names"]["head"]["output"]
    width = shape_of(run.family, config).width or 1
    readers = {name: size for name, size in maps.items() if name.endswith((f".{output}.weight", OF_CROSS))}
    return sum(2 * run.queries(name) * run.keys(name) * (size // width) for name, size in readers.items())


def _family(config: Mapping[str, Any]) -> str:
    """Return the family of a model; "" of a family that kdpipe does not know."""
    family = family_name(str(config.get("model_type")))
    return family if family in catalog.FAMILIES else ""


def _is_table(name: str) -> bool:
    return name.removesuffix(".weight").endswith(TABLES)
