"""`interchange`: the counterfactual run of a distillation, which has activations of another text."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from kdpipe.anatomy.alignments import (
    NAMES,
    Alignment,
    At,
    Pair,
    PositionRule,
    Read,
    Site,
    SourceRule,
    SwapRule,
)
from kdpipe.anatomy.mappings import SUFFIX, read_mappings
from kdpipe.config.settings.base import NotEmpty, Settings
from kdpipe.config.settings.bounds import Count
from kdpipe.config.settings.explanation import mistake
from kdpipe.errors import KdpipeError, quoted, suggest

Place = Annotated[int, Field(ge=0)]


def _read_dims(value: Any) -> Any:
    """Read a range `FIRST:LAST` of the numbers of a head."""
    if not isinstance(value, str):
        return value
    first, _, last = value.partition(":")
    if not (first.isdecimal() and last.isdecimal()):
        raise ValueError(f"expected a range such as `0:64`, found {quoted(value)}")
    return int(first), int(last)


def _rising(dims: tuple[int, int]) -> tuple[int, int]:
    if dims[0] >= dims[1]:
        raise ValueError(f"expected a range whose end is above its begin, found {dims[0]}:{dims[1]}")
    return dims


def _read_places(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"expected a list such as [{value}], found {value}")
    return value


def _read_alignment(value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError("expected a list of pairs, found one pair; put it into a list: `- {teacher: …}`")
    return value


def _each_once(numbers: tuple[int, ...]) -> tuple[int, ...]:
    twice = [number for place, number in enumerate(numbers) if number in numbers[:place]]
    if twice:
        raise ValueError(f"names {twice[0]} twice; name each once")
    return numbers


Dims = Annotated[
    tuple[Place, Place],
    BeforeValidator(_read_dims, json_schema_input_type=str | tuple[int, int]),
    AfterValidator(_rising),
]
Places = Annotated[tuple[Place, ...], NotEmpty, BeforeValidator(_read_places), AfterValidator(_each_once)]


class SiteSettings(Settings):
    """The activations of one model that are swapped at once.

    Args:
        blocks: blocks, from 0.
        heads: heads of each block, from 0; by default all.
        dims: the range of numbers of each head, as `"FIRST:LAST"` without LAST; by default all.
    """

    blocks: Places
    heads: Places | None = None
    dims: Dims | None = None

    @property
    def site(self) -> Site:
        """The site."""
        return Site(self.blocks, self.heads, self.dims)


class PairSettings(Settings):
    """Sites of teacher and student that stand for the same.

    Args:
        teacher: the teacher's site.
        student: the student's site.
        at: what of the blocks is swapped: their `output`, `queries`, `keys` or `values` of their heads, or
            what the `heads` return before they are mixed.
    """

    teacher: SiteSettings
    student: SiteSettings
    at: At = "output"

    @property
    def pair(self) -> Pair:
        """The pair."""
        return Pair(self.teacher.site, self.student.site, self.at)


def _check_name(value: Any) -> Any:
    if isinstance(value, str) and value not in NAMES and not value.endswith(SUFFIX):
        what = f"expected {', '.join(NAMES)}, a list of pairs or the path of a `{SUFFIX}` file"
        raise ValueError(f"{what}, found {quoted(value)}; {suggest(value, NAMES)}")
    if isinstance(value, str) and {*value} & {*"{}"}:
        raise ValueError(f"expected a path without braces, found {quoted(value)}; rename the file")
    return value


class InterchangeSettings(Settings):
    """Interchange interventions: in a run of both models, activations of a source replace those of the text.

    Args:
        alignment: which blocks of teacher and student are swapped: `middle`, `late` or `full`, a list of
            pairs, of which a step takes one, or the path of a `.nm` file, relative to the working folder.
        positions: `consecutive` positions of both texts, `scattered` ones, or the `masked` positions of the
            text.
        proportion: share of the shorter of text and source that is exchanged; without a meaning for
            `masked`.
        max_tokens: the most positions that are exchanged; without a meaning for `masked`.
        sources: `fixed` for one permutation of the dataset, `epoch` for a new one in each epoch;
            `in_context` for the same text, whose tokens at these positions are replaced by draws from the
            token counts.
        read: whether the source is read where the text is written to (`aligned`), or, as the published code
            does, a block below (`shifted`).
        swap: whether `activations` are swapped, or `tokens`, which needs no alignment.
    """

    alignment: Annotated[
        str | Annotated[tuple[PairSettings, ...], NotEmpty] | None,
        BeforeValidator(_read_alignment),
        AfterValidator(_check_name),
    ] = None
    positions: PositionRule = "consecutive"
    proportion: float = Field(default=0.3, ge=0, le=1)
    max_tokens: Count | None = None
    sources: SourceRule = "fixed"
    read: Read = "aligned"
    swap: SwapRule = "activations"

    @model_validator(mode="after")
    def _has_sites(self) -> Self:
        if self.alignment is None and self.swap == "activations":
            what = f"expected {', '.join(NAMES)}, a list of pairs or a `{SUFFIX}` file"
            raise mistake(("alignment",), f"{what}; only `swap: tokens` needs none")
        return self

    @property
    def file(self) -> Path | None:
        """The file with the alignment, if one is read."""
        named = isinstance(self.alignment, str) and self.alignment.endswith(SUFFIX)
        return Path(str(self.alignment)) if named and self.swap == "activations" else None

    @property
    def named(self) -> bool:
        """Whether the sites follow from the depths of the models."""
        return isinstance(self.alignment, str) and self.file is None

    @property
    def sites(self) -> str | Alignment:
        """The name of the alignment, or its entries.

        Raises:
            KdpipeError: the file is missing or is no `.nm` file.
        """
        if self.swap == "tokens":
            # It goes through no site.
            return NAMES[0]
        if self.file is not None:
            return _mappings(self.file)
        if isinstance(self.alignment, tuple):
            return tuple((entry.pair,) for entry in self.alignment)
        return str(self.alignment)


def _mappings(file: Path) -> Alignment:
    try:
        return read_mappings(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise KdpipeError(
            f"{file}: {reason}; give the path of a `{SUFFIX}` file from the working folder"
        ) from None
    except KdpipeError as error:
        raise KdpipeError(f"{file}: {error}") from None
