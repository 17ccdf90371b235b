"""What a model consists of: parameters and memory of its modules, heads and neurons of its blocks.

The multiply-adds of a text follow from its parts.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kdpipe import catalog
from kdpipe.anatomy.families import family_facts, family_name, shape_of
from kdpipe.anatomy.multiply_adds import multiply_adds, usual_length
from kdpipe.anatomy.units import UNIT_KINDS

# Parts of a name that are shown unless more are asked for: usually down to embeddings, encoder and head.
DEPTH = 2


@dataclass(frozen=True)
class Weight:
    """A parameter of a model.

    Args:
        count: number of its entries; 0 if it is tied.
        size: bytes that it takes; 0 if it is tied.
        tied_to: name of the parameter whose entries it uses; "" for a parameter of its own.
        shape: its sizes; of a tied parameter, the sizes of the other parameter.
    """

    count: int
    size: int
    tied_to: str = ""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Module:
    """A module of a model, or a single parameter.

    Args:
        name: its full name.
        parameters: number of its parameters; tied parameters count once, where their entries are.
        share: share of all parameters of the model.
        size: bytes that its parameters take.
        tied_to: names of parameters whose entries it uses, unless its parts are modules of the same list.
    """

    name: str
    parameters: int
    share: float
    size: int
    tied_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """A block of a model: parameters, heads and neurons; None in a family without heads or neurons."""

    parameters: int
    heads: int | None
    neurons: int | None


@dataclass(frozen=True)
class Analysis:
    """What a model consists of.

    Args:
        config: the fields of its config; `architectures` names its class.
        weights: its parameters by name, module after module.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, Weight]

    @cached_property
    def parameters(self) -> int:
        """The number of parameters; tied parameters count once."""
        return sum(weight.count for weight in self.weights.values())

    @cached_property
    def size(self) -> int:
        """The bytes that the parameters take."""
        return sum(weight.size for weight in self.weights.values())

    def modules(self, depth: int = DEPTH) -> list[Module]:
        """Return the modules whose names have at most `depth` parts; a module comes before its parts."""
        counts, sizes = Counter[str](), Counter[str]()
        tied: dict[str, tuple[str, ...]] = {}
        for name, weight in self.weights.items():
            parts = name.split(".")[:depth]
            for level in range(1, len(parts) + 1):
                counts[".".join(parts[:level])] += weight.count
                sizes[".".join(parts[:level])] += weight.size
            if weight.tied_to:
                tied[".".join(parts)] = (*tied.get(".".join(parts), ()), weight.tied_to)
        whole = self.parameters or 1
        return [
            Module(name, count, count / whole, sizes[name], tied.get(name, ()))
            for name, count in counts.items()
        ]

    def blocks(self) -> list[Block]:
        """Return the blocks, from the lowest; none in a family that kdpipe does not know."""
        family = family_name(str(self.config.get("model_type")))
        if family not in catalog.FAMILIES:
            return []
        place = re.compile(rf"(?:^|\.){re.escape(family_facts(family)['block_list'])}\.(\d{{1,6}})\.")
        counts = Counter[int]()
        for name, weight in self.weights.items():
            if found := place.search(name):
                counts[int(found[1])] += weight.count
        units = [self._units(family, kind, len(counts)) for kind in UNIT_KINDS]
        parameters = [counts[index] for index in sorted(counts)]
        return [Block(*numbers) for numbers in zip(parameters, *units, strict=True)]

    def multiply_adds(self, length: int) -> int | None:
        """Return the multiply-adds for one text of so many tokens, padding included.

        None stands for a model of a family that kdpipe does not know. Attentions of a causal model count in
        full, and so does the logit of each token in the vocabulary.
        """
        sizes = {name: weight.shape for name, weight in self.weights.items()}
        return multiply_adds(self.config, sizes, length)

    def as_text(self, depth: int = DEPTH) -> str:
        """Return the modules to a depth, and the blocks, as tables."""
        modules, blocks = self.modules(depth), self.blocks()
        named = self.config.get("architectures")
        name = named[0] if isinstance(named, list) and named else "a model"
        total = f"{name}: {self.parameters:,} parameters, {megabytes(self.size)}"
        tables = [[("module", "parameters", "share", "memory", ""), *map(_module_row, modules)]]
        if blocks:
            total += f", {len(blocks)} block{'s' if len(blocks) > 1 else ''}"
            rows = [(str(index), *_block_row(block)) for index, block in enumerate(blocks)]
            tables.append([("block", "parameters", "heads", "neurons"), *rows])
        length = usual_length(self.config)
        if (number := self.multiply_adds(length)) is not None:
            total += f", {number:,} multiply-adds for {length} tokens"
        return "\n\n".join([total, *map(_table, tables)])

    def __str__(self) -> str:
        return self.as_text()

    def _units(self, family: str, kind: str, depth: int) -> list[int | None]:
        """Return the numbers of heads or neurons of the blocks."""
        if counts := self.config.get("unit_counts"):
            return list(counts[kind.removesuffix("s")][:depth])
        return [getattr(shape_of(family, self.config), kind) or None] * depth


def megabytes(size: int) -> str:
    """Return a number of bytes in units of 10^6."""
    return f"{size / 1e6:,.2f} MB"


def _module_row(module: Module) -> tuple[str, ...]:
    *above, own = module.name.split(".")
    tied = f"tied to {', '.join(module.tied_to)}" if module.tied_to else ""
    share = f"{100 * module.share:.2f} %"
    return "  " * len(above) + own, f"{module.parameters:,}", share, megabytes(module.size), tied


def _block_row(block: Block) -> tuple[str, ...]:
    numbers = block.parameters, block.heads, block.neurons
    return tuple("" if number is None else f"{number:,}" for number in numbers)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines: the first column begins on the left, the numbers end on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *numbers in rows:
        cells = [text.rjust(width) for text, width in zip(numbers[:3], widths[1:], strict=False)]
        lines.append("  ".join([first.ljust(widths[0]), *cells, *numbers[3:]]).rstrip())
    return "\n".join(lines)
