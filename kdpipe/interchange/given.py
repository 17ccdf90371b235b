"""Interchange interventions that Python code asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kdpipe.anatomy.alignments import NAMES, Pair, Read, named_alignment
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Targets
from kdpipe.errors import KdpipeError, ModelError, quoted, suggest
from kdpipe.interchange.batches import Choice, Exchanges
from kdpipe.interchange.runs import Interchange
from kdpipe.signals.adapted import Adapted


@dataclass(frozen=True, kw_only=True)
class Intervention(Choice):
    """A counterfactual run: activations of a source replace activations of a text, in teacher and student.

    Args:
        alignment: `middle`, `late`, `full`, or pairs of sites, of which each step takes one.
        read: where the source is read, `shifted` a block below the site.
        positions, proportion, max_tokens, sources, swap: as of `kdpipe.interchange.batches.Choice`.

    Raises:
        KdpipeError: the alignment is not known.
    """

    alignment: str | Sequence[Pair] = "middle"
    read: Read = "aligned"

    def __post_init__(self) -> None:
        if isinstance(self.alignment, str) and self.alignment not in NAMES:
            what = f"found {quoted(self.alignment)}; {suggest(self.alignment, NAMES)}"
            raise KdpipeError(f"alignment: expected {', '.join(NAMES)} or pairs of sites, {what}")

    def between(self, teacher: Any, teacher_depth: int, student: Any, student_depth: int) -> Interchange:
        """Return what is swapped in two models of some depths."""
        for model in (teacher, student):
            if isinstance(model, Adapted):
                raise ModelError("a counterfactual run needs models of a family, found an adapted model")
        if isinstance(self.alignment, str):
            return Interchange(named_alignment(self.alignment, teacher_depth, student_depth), self.read)
        return Interchange(tuple((pair,) for pair in self.alignment), self.read)

    def exchanges(
        self,
        interchanges: Mapping[str, Interchange],
        split: EncodedSplit,
        pad_id: int,
        tokenizer: Any,
        targets: Targets | None,
        seed: int,
    ) -> Exchanges:
        """Return what chooses sources and positions in the batches of a split.

        Raises:
            KdpipeError: tokens in context are drawn, and there is no tokenizer that names the special ones.
        """
        if self.sources == "in_context" and tokenizer is None:
            raise KdpipeError(
                "sources: `in_context` spares special tokens, which the `tokenizer` names; give it"
            )
        ids = split.column("input_ids").values()
        entries = next(iter(interchanges.values())).alignment
        special = tokenizer.all_special_ids if tokenizer else ()
        alternatives = [len(entry) for entry in entries]
        return Exchanges(split, pad_id, self, alternatives, seed, targets, special, np.bincount(ids))
