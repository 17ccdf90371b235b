"""The grammar of layers: which blocks a student is made of, and which layers are matched.

Blocks count from 0. Of matched layers, 0 is the embedding output and n the n-th block, or its output. Halves
round to even, as Python's `round` does.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from kdpipe.errors import KdpipeError, quoted

# A layer, or several layers of one model that a loss compares at once.
Layer = int | tuple[int, ...]
Pairs = tuple[tuple[Layer, Layer], ...]
# How many layers of one model a loss compares at once: one, two (a layer alone stands for itself twice), or
# all blocks.
States = Literal["one", "two", "all"]
P = TypeVar("P")

# Matches of TextBrewer's examples (examples/matches/matches.py): name -> (depth of teacher, of student, map).
TEXTBREWER = {
    "L3": (12, 3, "spaced"),
    "L4": (12, 4, "spaced"),
    "L6": (12, 6, "spaced"),
    "small": (12, 12, "every:2"),
}
# Layer schemes of "Marginal Utility Diminishes" (arXiv 2106.05691).
MARGINAL_UTILITY = {"t_top8": "top:8", "t_top10": "top:10", "t_top12": "top:12"}
# Blocks that DistilBERT's extraction script keeps, by the number asked for.
DISTILBERT = {**{n: (0, 2, 4, 7, 9, 11)[:n] for n in range(1, 7)}, 9: (0, 2, 3, 4, 7, 8, 9, 10, 11)}

# More blocks than any model has; stands in for a depth that is not known yet.
ANY_DEPTH = 1000

BLOCK_CHOICES = "a list of blocks from 0, `first:n`, `spaced:n` or `distilbert:n`"
LAYER_MAPS = (
    "a list of [teacher, student] pairs, `spaced`, `every:k`, `top:X`, `sixths`, `last`, or a preset: "
    + ", ".join([*TEXTBREWER, *MARGINAL_UTILITY])
)


def choose_blocks(choice: str | Sequence[int], depth: int) -> tuple[int, ...]:
    """Return the blocks, from 0, that a student is made of.

    Args:
        choice: a list of blocks, or `first:n`, `spaced:n` (block round(i(L-1)/(n-1))), `distilbert:n`.
        depth: number of blocks of the model copied from.

    Raises:
        KdpipeError: the choice is not of the grammar or reaches beyond the model.
    """
    check_depth(depth)
    blocks = tuple(choice) if not isinstance(choice, str) else _named_blocks(choice, depth)
    outside = [block for block in blocks if not 0 <= block < depth]
    if outside or not blocks:
        raise KdpipeError(f"blocks 0 to {depth - 1} exist, {choice!r} takes {list(blocks)}")
    return blocks


def check_depth(depth: int) -> None:
    """Raise KdpipeError if a model is said to have more blocks than any has."""
    if depth > ANY_DEPTH:
        raise KdpipeError(f"models have at most {ANY_DEPTH} blocks, found {depth}")


def count_blocks(choice: str | Sequence[int], depth: int | None) -> int:
    """Return the number of blocks that a choice takes; the depth may be unknown."""
    return len(choose_blocks(choice, ANY_DEPTH if depth is None else depth))


def _named_blocks(choice: str, depth: int) -> tuple[int, ...]:
    match _split(choice):
        case "first" | "spaced", int(count) if count > depth:
            raise KdpipeError(f"blocks 0 to {depth - 1} exist, found {choice!r}")
        case "first", int(count):
            return tuple(range(count))
        case "spaced", int(count):
            return tuple(round(i * (depth - 1) / max(count - 1, 1)) for i in range(count))
        case "distilbert", int(count) if count in DISTILBERT:
            return DISTILBERT[count]
        case "distilbert", int():
            raise KdpipeError(f"`distilbert:n` is defined for n in 1 to 6 and 9, found {choice!r}")
    raise KdpipeError(f"expected {BLOCK_CHOICES}, found {choice!r}")


def match_layers(
    layers: str | Sequence[Sequence[Any]],
    teacher_depth: int,
    student_depth: int,
    first: int = 0,
    states: States = "one",
) -> Pairs:
    """Return the (teacher, student) pairs of layers that a loss term compares.

    Args:
        layers: a list of pairs or the name of a map; a map's pairs with a layer below `first` are left out.
            For `two` states, a side of a pair may be two layers.
        teacher_depth: number of blocks of the teacher.
        student_depth: number of blocks of the student.
        first: the first layer that has what is compared: 0, or 1 where the embedding output has none.
        states: how many layers of a model are compared at once; `all` blocks are one pair, whatever `layers`
            is.

    Raises:
        KdpipeError: the map is not of the grammar or names layers that do not exist.
    """
    for depth in (teacher_depth, student_depth):
        check_depth(depth)
    if states == "all":
        return ((tuple(range(1, teacher_depth + 1)), tuple(range(1, student_depth + 1))),)
    pairs: Pairs
    if isinstance(layers, str):
        named = _named_pairs(layers, teacher_depth, student_depth)
        pairs = tuple(pair for pair in named if min(pair) >= first)
    else:
        pairs = tuple(map(_pair, layers if isinstance(layers, list | tuple) else [layers]))
    for teacher, student in pairs:
        _check_states(teacher, student, states)
        outside = [
            any(not first <= layer <= depth for layer in parts(side))
            for side, depth in ((teacher, teacher_depth), (student, student_depth))
        ]
        if any(outside):
            raise KdpipeError(
                f"teacher layers {first} to {teacher_depth} and student layers {first} to {student_depth} "
                f"exist, found the pair {json.dumps([teacher, student])}"
            )
    if not pairs:
        raise KdpipeError(f"no layers are matched by {layers!r}")
    return pairs


def parts(place: P | tuple[P, ...]) -> tuple[P, ...]:
    """Return the places that a side of a pair consists of."""
    return place if isinstance(place, tuple) else (place,)


def _pair(pair: Any) -> tuple[Layer, Layer]:
    """Return a pair of a list, with the layers of a side as a tuple."""
    found = pair if isinstance(pair, list | tuple) else [pair]
    sides = [tuple(side) if isinstance(side, list | tuple) else side for side in found]
    if len(sides) != 2 or not all(isinstance(layer, int) for side in sides for layer in parts(side)):
        raise KdpipeError(f"expected pairs of layers, [teacher, student], found {quoted(pair)}")
    return sides[0], sides[1]


def _check_states(teacher: Layer, student: Layer, states: States) -> None:
    pair = json.dumps([teacher, student])
    sizes = {len(parts(side)) for side in (teacher, student)}
    if states == "one" and sizes != {1}:
        raise KdpipeError(
            f"expected pairs of one layer each, found {pair}; `gram` and `mmd` take two of each"
        )
    if len(sizes) > 1 or max(sizes) > 2:
        raise KdpipeError(
            f"expected one layer of each model, or two, [[t1, t2], [s1, s2]], found the pair {pair}"
        )


def _named_pairs(layers: str, teacher_depth: int, student_depth: int) -> tuple[tuple[int, int], ...]:
    if layers in TEXTBREWER:
        *depths, layers_of_preset = TEXTBREWER[layers]
        if depths != [teacher_depth, student_depth]:
            raise KdpipeError(
                f"preset {layers!r} is for {depths[0]} teacher and {depths[1]} student blocks, "
                f"found {teacher_depth} and {student_depth}"
            )
        return _named_pairs(layers_of_preset, teacher_depth, student_depth)
    match _split(MARGINAL_UTILITY.get(layers, layers)):
        case "last", None:
            return ((teacher_depth, student_depth),)
        case "sixths", None if teacher_depth != student_depth:
            what = f"found {teacher_depth} and {student_depth}; give `spaced`, or a list of pairs"
            raise KdpipeError(f"`sixths` is for teachers and students of as many blocks, {what}")
        case "sixths", None:
            return tuple((i, i) for i in range(0, student_depth + 1, max(1, student_depth // 6)))
        case "spaced", None:
            return _spread(teacher_depth, student_depth)
        case "every", int(step):
            return tuple(pair for pair in _spread(teacher_depth, student_depth) if pair[1] % step == 0)
        case "top", int(top):
            return _spread(top, student_depth)
    raise KdpipeError(f"expected {LAYER_MAPS}, found {layers!r}")


def _spread(top: int, student_depth: int) -> tuple[tuple[int, int], ...]:
    return tuple((round(i * top / student_depth), i) for i in range(student_depth + 1))


def _split(text: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"([a-z]+)(?::([1-9]\d{0,17}))?", text)
    if not match:
        return "", None
    return match[1], int(match[2]) if match[2] else None
