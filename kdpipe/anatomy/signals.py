"""What a run of a model gives: the kinds of signals that losses compare, and what is known of each.

A signal is written as its kind and its place: `logits`, `hidden_states.3`, `attentions.2`, `module.pooler`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

# Where the signals of a kind are: once in a model, in its layers, or in modules that are named.
Placed = Literal["once", "layers", "modules", "largest"]
Place = int | str | None
# One side of a pair that a loss compares: a place, or the places of several states that are compared at once.
Places = Place | tuple[Place, ...]
# What rows of a batch may be: examples, real tokens, positions with a label, starts and ends of answers.
Positions = Literal["examples", "tokens", "labelled", "spans"]
# What a loss may be averaged over: the rows that it compares, whatever they are, or what is counted besides.
Averaged = Literal[
    "rows",
    "examples",
    "tokens",
    "labelled",
    "spans",
    "queries",
    "pairs",
    "chosen",
    "chosen pairs",
    "chosen keys",
]
# The precisions that signals may be stored in. bfloat16 has fewer digits than float16, and float32's range.
StoredPrecision = Literal["float16", "bfloat16", "float32"]
BYTES: Mapping[StoredPrecision, int] = {"float16": 2, "bfloat16": 2, "float32": 4}
# Signals are stored in record batches of so many examples, and of so many bytes unless one example has more.
STORED_ROWS, STORED_BYTES = 1024, 2**28


@dataclass(frozen=True, order=True)
class Signal:
    """One of the things that a run of a model gives.

    Args:
        kind: its kind.
        place: the layer, from 0 for what the first block reads; the name of a module in the body; or how many
            outputs of a row it has.
        ranked: the block, from 1, whose attention ranks its tokens; 0 where their order in the text counts.
    """

    kind: str
    place: Place = None
    ranked: int = 0

    def __str__(self) -> str:
        name = self.kind if self.place is None else f"{self.kind}.{self.place}"
        return f"{name}@{self.ranked}" if self.ranked else name

    @classmethod
    def parse(cls, text: str) -> "Signal":
        """Return the signal that a text stands for."""
        name, _, ranked = text.partition("@")
        kind, _, place = name.partition(".")
        numbered = SIGNAL_KINDS[kind].placed in ("layers", "largest")
        return cls(kind, int(place) if numbered else place or None, int(ranked or 0))

    @classmethod
    def at(cls, kind: str, place: Place) -> "Signal":
        """Return the signal of a kind at a place; where a module is named, the output of the module."""
        return cls("module" if isinstance(place, str) else kind, place)


@dataclass(frozen=True)
class SignalKind:
    """What is known of a kind of signals.

    Args:
        placed: where its signals are.
        first: the first layer that has one.
        rows: what its rows are: the rows of the task's logits, a row a token, or a row a query position of
            all heads, as long as there are keys.
        width: which number of a model's shape says how many numbers a row has (a row of a query: for
            each key), or `place` for the place of the signal; None for outputs, which are few.
        more: how many numbers a row has besides.
        needs_head: whether it is of the head for a task, and not of the body.
        attends: whether only blocks with attention heads have it.
        halved: whether it may be stored in half precision.
        by_name: whether outputs of named modules may be compared in its place.
    """

    placed: Placed = "layers"
    first: int = 1
    rows: Literal["task", "tokens", "queries"] = "tokens"
    width: Literal["width", "heads", "place"] | None = "width"
    more: int = 0
    needs_head: bool = False
    attends: bool = False
    halved: bool = True
    by_name: bool = False

    @property
    def aligned(self) -> bool:
        """Whether it goes by tokens, so that teacher and student must have equal tokenizers."""
        return self.rows != "task"

    def places(self, depth: int) -> tuple[Place, ...]:
        """Return the places that a model with so many blocks has; none where the blocks do not tell."""
        every = {"once": (None,), "layers": tuple(range(self.first, depth + 1))}
        return every.get(self.placed, ())

    def token_bytes(
        self, shape: Mapping[str, int], keys: float, precision: StoredPrecision, place: Place
    ) -> float:
        """Return what a token of it costs in bytes.

        Args:
            shape: `width` and `heads` of the model.
            keys: tokens that a token may attend to, on average.
            precision: how it is stored where it may be halved.
            place: its place.
        """
        sizes: dict[str, Any] = {**shape, "place": place}
        numbers: int = self.more + (sizes[self.width] if self.width else OUTPUTS)
        each = keys if self.rows == "queries" else 1
        return numbers * each * BYTES[precision if self.halved else "float32"]


# Logits of a token: in question answering the logits of start and end.
OUTPUTS = 2
SIGNAL_KINDS: Mapping[str, SignalKind] = {
    "logits": SignalKind("once", rows="task", width=None, needs_head=True, halved=False),
    "hidden_states": SignalKind(first=0, by_name=True),
    "attentions": SignalKind(rows="queries", width="heads", attends=True),
    "queries": SignalKind(attends=True),
    "keys": SignalKind(attends=True),
    "values": SignalKind(attends=True),
    # A module's output is taken to be as wide as a hidden state.
    "module": SignalKind("modules", by_name=True),
    # The k largest logits of a row with the log-sum-exp of all others, and the entries that they belong to.
    "top_logits": SignalKind("largest", rows="task", width="place", more=1, needs_head=True, halved=False),
    "top_entries": SignalKind("largest", rows="task", width="place", needs_head=True, halved=False),
}
LOGITS = Signal("logits")


def first_layer(kinds: Iterable[str]) -> int:
    """Return the first layer that has signals of all these kinds."""
    return max(SIGNAL_KINDS[kind].first for kind in kinds)


def counted(averaged: Averaged, kinds: Iterable[str]) -> Averaged:
    """Return what a loss on signals of some kinds is averaged over where it compares chosen tokens alone."""
    queries = any(SIGNAL_KINDS[kind].rows == "queries" for kind in kinds)
    pairs: Averaged = "chosen keys" if queries else "chosen pairs"
    chosen: Mapping[Averaged, Averaged] = {"tokens": "chosen", "queries": "chosen", "pairs": pairs}
    return chosen.get(averaged, averaged)


def takes_modules(kinds: Iterable[str]) -> bool:
    """Tell whether losses on signals of these kinds may compare outputs of named modules."""
    return all(SIGNAL_KINDS[kind].by_name for kind in kinds)


def token_bytes(
    signals: Iterable[Signal], shape: Mapping[str, int], keys: float, precision: StoredPrecision
) -> float:
    """Return what a token of several signals costs in bytes; arguments as of `SignalKind.token_bytes`."""
    return sum(
        SIGNAL_KINDS[signal.kind].token_bytes(shape, keys, precision, signal.place) for signal in signals
    )
