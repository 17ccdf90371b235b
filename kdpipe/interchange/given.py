"""Interchange interventions as they are asked for: what is swapped between two models, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from kdpipe.anatomy.alignments import (
    NAMES,
    Alignment,
    Pair,
    PositionRule,
    Read,
    Site,
    SourceRule,
    SwapRule,
    alignment_between,
    faults,
    no_sites,
)
from kdpipe.anatomy.families import shape_of
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Targets
from kdpipe.errors import KdpipeError, ModelError, quoted, suggest
from kdpipe.interchange.batches import Choice, Exchanges
from kdpipe.interchange.runs import Interchange

CHOICES = {"positions": PositionRule, "sources": SourceRule, "swap": SwapRule, "read": Read}


@dataclass(frozen=True)
class Intervention(Choice):
    """A counterfactual run: activations of a source replace activations of a text, in teacher and student.

    Args:
        alignment: `middle`, `late`, `full`, or pairs of sites, of which each step takes one; or entries of
            pairs, of which each step takes an entry and then a pair.
        read: where the source is read, `shifted` a block below the site.
        positions, proportion, max_tokens, sources, swap: as of `kdpipe.interchange.batches.Choice`.

    Raises:
        KdpipeError: a choice is not known, or a number is out of range.
    """

    alignment: str | Sequence[Pair] | Alignment = "middle"
    read: Read = field(default="aligned", kw_only=True)

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in (known := get_args(choices)):
                raise KdpipeError(f"{name}: {quoted(value)} is not known; {suggest(str(value), known)}")
        if not 0 <= self.proportion <= 1:
            raise KdpipeError(f"proportion: expected a share from 0 to 1, found {self.proportion}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise KdpipeError(f"max_tokens: expected at least 1, or None, found {self.max_tokens}")
        if isinstance(self.alignment, str) and self.alignment not in NAMES:
            what = f"found {quoted(self.alignment)}; {suggest(self.alignment, NAMES)}"
            raise KdpipeError(f"alignment: expected {', '.join(NAMES)} or pairs of sites, {what}")
        if not isinstance(self.alignment, str):
            _check_pairs(self.alignment)

    def between(self, teacher: Any, student: Any) -> Interchange:
        """Return what is swapped in two models.

        Args:
            teacher: the transformers config of the teacher.
            student: the transformers config of the student.

        Raises:
            ModelError: a model lacks a site, or the sites differ in width.
        """
        if self.swap == "tokens":
            return Interchange(no_sites(), self.read)
        theirs, ours = (shape_of(config.model_type, config.to_dict()) for config in (teacher, student))
        alignment = alignment_between(self.alignment, theirs.depth or 0, ours.depth or 0)
        cut = _is_cut(teacher), _is_cut(student)
        for what in faults(alignment, theirs, ours, self.read, cut):
            raise ModelError(f"interchange: {what}")
        return Interchange(alignment, self.read)

    def exchanges(
        self,
        interchanges: Mapping[Any, Interchange],
        split: EncodedSplit,
        pad_id: int,
        tokenizer: Any,
        targets: Targets | None,
        seed: int,
        counts: NDArray[np.int64] | None = None,
    ) -> Exchanges | None:
        """Return what chooses sources and positions in the batches of a split; None without any interchange.

        Args:
            interchanges: what is swapped, by teacher.
            split: the examples.
            pad_id: id of the padding token.
            tokenizer: the tokenizer of both models, which tokens in context need.
            targets: which tokens are to be predicted, for language modelling.
            seed: seed of the draws.
            counts: occurrences of each token [V], for tokens in context; by default they are counted.

        Raises:
            KdpipeError: tokens in context are drawn, and no tokenizer names the special ones.
        """
        if not interchanges:
            return None
        special: Sequence[int] = ()
        if self.sources == "in_context":
            if tokenizer is None:
                what = "`in_context` spares special tokens, which the tokenizer names"
                raise KdpipeError(f"sources: {what}; give `tokenizer`")
            special = tokenizer.all_special_ids
            counts = _counts(split, len(tokenizer)) if counts is None else counts
        first = next(iter(interchanges.values()))
        alternatives = [len(entry) for entry in first.alignment]
        return Exchanges(split, pad_id, self, alternatives, seed, targets, special, counts)


def _check_pairs(alignment: Any) -> None:
    """Raise KdpipeError if an alignment is no list of pairs, or a site of a pair has no list of blocks."""
    if not isinstance(alignment, Sequence):
        raise KdpipeError(f"alignment: expected a list of pairs of sites, found {quoted(alignment)}")
    if not alignment:
        raise KdpipeError("alignment: expected at least one pair of sites, found none")
    for pair in (one for entry in alignment for one in (entry if isinstance(entry, tuple) else (entry,))):
        if not isinstance(pair, Pair):
            raise KdpipeError(f"alignment: expected pairs of sites (`kdpipe.Pair`), found {quoted(pair)}")
        for site in (pair.teacher, pair.student):
            if not isinstance(site, Site):
                raise KdpipeError(f"alignment: expected sites (`kdpipe.Site`), found {quoted(site)}")
            for name in ("blocks", "heads", "dims"):
                numbers = getattr(site, name)
                if not isinstance(numbers, tuple) and not (numbers is None and name != "blocks"):
                    what = f"expected a tuple such as (2,), found {quoted(numbers)}"
                    raise KdpipeError(f"alignment: {name} of a site: {what}")


def _is_cut(config: Any) -> bool:
    """Tell whether blocks of the model that a config describes have lost heads or neurons."""
    return bool(getattr(config, "unit_counts", None))


def _counts(split: EncodedSplit, entries: int) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.zeros(entries, dtype=np.int64)
    for ids, _ in split.column("input_ids").parts:
        counts += np.bincount(ids, minlength=entries)
    return counts
