"""Alignments of interchange interventions: which activations of teacher and student are swapped together.

Reference:
    github.com/frankaging/Causal-Distill, `distillation/training_configs`: the shipped `.nm` files.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from kdpipe.anatomy.families import family_facts
from kdpipe.anatomy.layers import check_depth
from kdpipe.anatomy.shapes import Shape
from kdpipe.errors import KdpipeError

# What of a block is swapped: what the block returns, queries, keys or values of its heads, or what its heads
# return before they are mixed.
At = Literal["output", "queries", "keys", "values", "heads"]
# Where the source is read: where the base is written to, or a block below.
Read = Literal["aligned", "shifted"]
# Which positions are swapped, which text is the source, and what of the source the base receives.
PositionRule = Literal["consecutive", "scattered", "masked"]
SourceRule = Literal["fixed", "epoch", "in_context"]
SwapRule = Literal["activations", "tokens"]
Blocks = tuple[int, ...]
NAMES = ("middle", "late", "full")
# What is told of a pruned model whose heads are to be swapped.
OF_PRUNED = "is pruned, and has other heads in each block; swap whole states, `at: output`"
# The late blocks are counted from the end.
LATE = (3, 2)
# The source run and the counterfactual run are together about as long as the base run: passes of a batch.
PASSES = 2


@dataclass(frozen=True)
class Site:
    """The activations of one model that are swapped at once.

    Args:
        blocks: the blocks, from 0.
        heads: the heads of each block, from 0; None for all. The heads of what a block returns are equal
            parts of its width.
        dims: the first number of each head that is swapped, and the number after the last; None for all.
    """

    blocks: Blocks
    heads: tuple[int, ...] | None = None
    dims: tuple[int, int] | None = None

    @property
    def whole(self) -> bool:
        """Whether whole states are swapped."""
        return self.heads is None and self.dims is None

    def columns(self, width: int, heads: int) -> list[int]:
        """Return the places in a row of so many numbers, which so many heads share, that are swapped."""
        if self.whole:
            return list(range(width))
        size = width // heads
        first, last = self.dims or (0, size)
        chosen = range(heads) if self.heads is None else self.heads
        return [head * size + place for head in chosen for place in range(first, last)]

    def __str__(self) -> str:
        parts = [_numbers("block", self.blocks)]
        parts += [_numbers("head", self.heads)] if self.heads is not None else []
        parts += [f"numbers {self.dims[0]} to {self.dims[1] - 1} of each head"] if self.dims else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Pair:
    """Sites of teacher and student that stand for the same.

    Args:
        teacher: the teacher's site.
        student: the student's site.
        at: what of the blocks is swapped.
    """

    teacher: Site
    student: Site
    at: At = "output"

    def __str__(self) -> str:
        where = "" if self.at == "output" else f"{self.at} of "
        return f"{where}{self.teacher} -> {self.student}"


# Entries, of which a step takes one, each equally often; and of an entry one of its pairs, equally often.
Alignment = tuple[tuple[Pair, ...], ...]


def alignment_between(
    sites: str | Iterable[Pair | tuple[Pair, ...]], teacher: int, student: int
) -> Alignment:
    """Return an alignment of two models of some depths.

    Args:
        sites: a name, as of `named_alignment`; or entries, each a pair or some pairs.
        teacher: depth of the teacher.
        student: depth of the student.
    """
    if isinstance(sites, str):
        return named_alignment(sites, teacher, student)
    return tuple((entry,) if isinstance(entry, Pair) else tuple(entry) for entry in sites)


def no_sites() -> Alignment:
    """Return the alignment of a swap of tokens, which goes through no site."""
    return ((Pair(Site(()), Site(())),),)


def named_alignment(name: str, teacher: int, student: int) -> Alignment:
    """Return the alignment of a name for two models of some depths.

    `middle` aligns block ⌊Lt/2⌋ with block ⌊Ls/2⌋; `late` the last but two, and the last but one, of both;
    `full` splits the teacher's blocks into as many runs as the student has blocks, longer ones first.

    Raises:
        KdpipeError: the models are too shallow for it.
    """
    check_depth(max(teacher, student))
    if name == "middle":
        return _single((((teacher // 2,), (student // 2,)),))
    if name == "late":
        for who, depth in (("teacher", teacher), ("student", student)):
            if depth < max(LATE):
                what = f"`late` needs {max(LATE)} blocks of both models, the {who} has {depth}"
                raise KdpipeError(f"{what}; take `middle`, or name pairs of sites")
        return _single(((teacher - back,), (student - back,)) for back in LATE)
    if teacher < student:
        raise KdpipeError(
            f"`full` gives each block of the student some of the teacher's, but the teacher has {teacher}"
            f" blocks and the student {student}; take `middle`, or name pairs of sites"
        )
    return _single((run, (block,)) for block, run in enumerate(_runs(teacher, student)))


def faults(
    alignment: Alignment,
    teacher: Shape,
    student: Shape,
    read: Read = "aligned",
    cut: tuple[bool, bool] = (False, False),
) -> Iterator[str]:
    """Yield what of an alignment two models do not have, and what to do, as far as their shapes are known.

    Args:
        alignment: the alignment.
        teacher: the shape of the teacher.
        student: the shape of the student.
        read: where the source is read.
        cut: whether blocks of the teacher, and of the student, have lost heads or neurons.
    """
    pairs = [pair for entry in alignment for pair in entry]
    if cut[0] and any(_splits(pair.teacher, pair.at, teacher) for pair in pairs):
        yield f"the teacher {OF_PRUNED}"
    if cut[1] and any(_splits(pair.student, pair.at, student) for pair in pairs):
        yield f"the student {OF_PRUNED}"
    for number, entry in enumerate(alignment):
        place = f"entry {number}, " if len(alignment) > 1 else ""
        yield from (
            f"{place}{pair}: {fault}"
            for pair in entry
            for fault in _pair_faults(pair, teacher, student, read)
        )


def _pair_faults(pair: Pair, teacher: Shape, student: Shape, read: Read) -> Iterator[str]:
    if pair.at not in get_args(At):
        yield f"`at` is {pair.at!r}; take one of {', '.join(get_args(At))}"
    elif pair.at != "output" and read == "shifted":
        yield "only what blocks return can be read a block below; give `read: aligned`"
    sides = (("teacher", pair.teacher, teacher), ("student", pair.student, student))
    found = [fault for who, site, shape in sides for fault in _site_faults(who, site, shape, pair.at)]
    yield from found
    widths = [_width(site, shape, pair.at) for _, site, shape in sides]
    if not found and None not in widths and widths[0] != widths[1]:
        yield (
            f"the teacher's site is {widths[0]} wide, the student's {widths[1]}; take as many heads and"
            " numbers of both, or models of one width"
        )


def _splits(site: Site, at: At, shape: Shape) -> bool:
    """Tell whether less than whole states are swapped in a model."""
    if at != "output" or not (shape.width and shape.heads):
        return at != "output" or not site.whole
    return site.columns(shape.width, shape.heads) != list(range(shape.width))


def _single(pairs: Iterable[tuple[Blocks, Blocks]]) -> Alignment:
    return tuple((Pair(Site(theirs), Site(ours)),) for theirs, ours in pairs)


def _runs(blocks: int, runs: int) -> Iterator[Blocks]:
    """Yield blocks in so many runs, longer ones first."""
    size, longer = divmod(blocks, runs)
    start = 0
    for number in range(runs):
        end = start + size + (number < longer)
        yield tuple(range(start, end))
        start = end


def _site_faults(who: str, site: Site, shape: Shape, at: At) -> Iterator[str]:
    """Yield what is wrong with a site of a model."""
    for what, numbers in (("block", site.blocks), ("head", site.heads)):
        if numbers is not None and len({*numbers}) < max(len(numbers), 1):
            yield f"the {who}'s {what}s are {list(numbers)}; name each {what} once, and at least one"
    if site.dims and not 0 <= site.dims[0] < site.dims[1]:
        yield f"the {who}'s numbers are {site.dims[0]} to below {site.dims[1]}; name a range such as 0:64"
    if shape.depth is not None and any(not 0 <= block < shape.depth for block in site.blocks):
        yield f"the {who} has blocks 0 to {shape.depth - 1}; name some of these"
    if shape.heads is not None and shape.width is not None:
        yield from _head_faults(who, site, shape, at)


def _head_faults(who: str, site: Site, shape: Shape, at: At) -> Iterator[str]:
    """Yield what is wrong with the heads of a site, and with the range of numbers in each."""
    heads, width, size = shape.heads or 0, shape.width or 0, _head_size(shape, at)
    if (at != "output" or not site.whole) and not heads:
        yield f"the {who} has no heads; swap whole states, `at: output`"
    elif any(not 0 <= head < heads for head in site.heads or ()):
        yield f"the {who} has heads 0 to {heads - 1}; name some of these"
    elif not site.whole and at == "output" and width % heads:
        what = f"{heads} heads do not share the {width} numbers of the {who}'s states evenly"
        yield f"{what}; swap whole states"
    elif site.dims and size is not None and site.dims[1] > size:
        yield f"a head of the {who} has {size} numbers; end the range at {size} or before"


def _head_size(shape: Shape, at: At) -> int | None:
    """Return the numbers of a head; None where heads do not share the width of the model."""
    if at != "output" and shape.family and not family_facts(shape.family)["heads_share_width"]:
        return shape.head_size
    return shape.width // shape.heads if shape.width and shape.heads else None


def _width(site: Site, shape: Shape, at: At) -> int | None:
    """Return how many numbers of a row are swapped; None while unknown."""
    if shape.width is None or shape.heads is None:
        return None
    if site.whole and at == "output":
        return shape.width
    size = _head_size(shape, at)
    if size is None and site.dims is None:
        return None
    heads = shape.heads if site.heads is None else len(site.heads)
    return heads * (site.dims[1] - site.dims[0] if site.dims else size or 0)


def _numbers(what: str, numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"{what} {numbers[0]}"
    if numbers and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{what}s {numbers[0]} to {numbers[-1]}"
    return f"{what}s {', '.join(map(str, numbers))}"
