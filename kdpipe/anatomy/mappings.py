"""Files of neuron mappings (`.nm`), in which the published code of DIITO names its alignments.

Reference:
    github.com/frankaging/Causal-Distill, `distillation/utils.py`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from kdpipe.anatomy.alignments import Alignment, Pair, Site
from kdpipe.anatomy.layers import check_depth
from kdpipe.errors import KdpipeError, quoted

SUFFIX = ".nm"
VARIABLE = re.compile(
    r"\$L:(?P<blocks>\d+|\[\d+:\d+\])\$H:(?P<heads>\d+|\[\d+:\d+\])\$\[(?P<first>\d+):(?P<last>\d+)\]"
)
GRAMMAR = "`$L:BLOCKS$H:HEADS$[FIRST:LAST]`, where BLOCKS and HEADS are a number or a range `[FIRST:LAST]`"
MAPPINGS = "interchange_variable_mappings"
SIDES = ("teacher_variable_names", "student_variable_names")


def read_mappings(text: str) -> Alignment:
    """Return the alignment of a `.nm` file.

    Several variables of a side are alternatives. The original draws one of each side, and may draw sites that
    do not go together. Here the first goes with the first, or the only one of a side with all of the other.

    Raises:
        KdpipeError: the text is not of the grammar.
    """
    try:
        sides = [[_variables(entry[side]) for side in SIDES] for entry in json.loads(text)[MAPPINGS]]
    except (ValueError, KeyError, TypeError, RecursionError):
        form = {MAPPINGS: [{side: ["$L:6$H:[0:12]$[0:64]"] for side in SIDES}]}
        raise KdpipeError(f"expected JSON such as {json.dumps(form)}, found {quoted(text)}") from None
    if not sides:
        raise KdpipeError(f"expected at least one entry in {MAPPINGS}, found none")
    return tuple(tuple(_alternatives(*side)) for side in sides)


def _variables(texts: Any) -> list[Site]:
    return [_variable(text) for text in ([texts] if isinstance(texts, str) else texts)]


def _variable(text: Any) -> Site:
    match = VARIABLE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise KdpipeError(f"expected {GRAMMAR}, found {quoted(text)}")
    site = Site(_range(match["blocks"]), _range(match["heads"]), (int(match["first"]), int(match["last"])))
    if not (site.blocks and site.heads and site.dims and site.dims[0] < site.dims[1]):
        raise KdpipeError(f"{quoted(text)}: each range must begin below its end")
    return site


def _range(text: str) -> tuple[int, ...]:
    if not text.startswith("["):
        return (int(text),)
    first, last = map(int, text[1:-1].split(":"))
    check_depth(last)
    return tuple(range(first, last))


def _alternatives(teacher: Sequence[Site], student: Sequence[Site]) -> Iterator[Pair]:
    fewer, more = sorted((len(teacher), len(student)))
    if not fewer or fewer not in (1, more):
        raise KdpipeError(
            "expected one variable of a side, or as many of the teacher as of the student, found"
            f" {len(teacher)} and {len(student)}"
        )
    yield from map(Pair, [*teacher] * (more // len(teacher)), [*student] * (more // len(student)))
