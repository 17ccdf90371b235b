"""A teacher's signals on a dataset, computed once: one row per example, in the order of the dataset.

A column holds the rows of a signal, a list for each example, without padding. A row of attentions is as long
as its example, so attentions are stored by pair of query and key. Offsets have 64 bits. The file is mapped.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdpipe.anatomy.signals import Signal
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.mapped import MappedColumn, open_batches
from kdpipe.data.targets import Targets
from kdpipe.errors import KdpipeError, listed
from kdpipe.models.precision import Precision
from kdpipe.signals.capture import Request, Signals
from kdpipe.signals.formats import restored, row_counts, unflattened
from kdpipe.signals.rows import Rows, rows_at

SIGNALS = "signals.arrow"
# Metadata of the file: a digest of the examples, the precision in which matrices were multiplied, and what
# the masks depend on.
EXAMPLES, MULTIPLIED, TARGETS = "examples", "multiplied", "targets"
# Metadata of a column: the positions of its rows, the shape of a row, and the precision of its numbers.
POSITIONS, SHAPE, PRECISION = "positions", "shape", "precision"
# Metadata of a column that has a part of a signal, as `kdpipe.knowledge.storing` writes it: what it holds.
FORM = "form"
# The number of ids that are read at a time.
IDS = 65_536


def examples_digest(split: EncodedSplit) -> str:
    """Return a digest of the examples of a split and their order."""
    sha256 = hashlib.sha256()
    for chunk in split.ids.chunks:
        for start in range(0, len(chunk), IDS):
            sha256.update("".join(f"{name!r}\n" for name in chunk[start : start + IDS].to_pylist()).encode())
    return sha256.hexdigest()


class CachedKnowledge:
    """A teacher's stored signals, read from the memory-mapped file as batches ask for them.

    Args:
        path: the Arrow file.
        split: the examples as the student sees them.
        targets: the tokens that the student is to predict, for language modelling.

    Attributes:
        precision: the precision in which the teacher multiplied matrices.
        columns: the stored rows of each signal.
        usable: whether each example has equally many rows on both sides; sentences whose words only one of
            two tokenizers cuts have not.

    Raises:
        KdpipeError: the teacher has seen other examples, other masks or other numbers of tokens.
    """

    def __init__(self, path: Path, split: EncodedSplit, targets: Targets | None = None) -> None:
        self.path = path
        batches = open_batches(path)
        schema = batches[0].schema
        examples, multiplied = (schema.metadata[key.encode()].decode() for key in (EXAMPLES, MULTIPLIED))
        self.precision = Precision(multiplied, "its teacher's signals were computed in it")
        if examples != examples_digest(split):
            raise KdpipeError(
                f"{path} holds the teacher's signals on other examples than {split.path} has, or in "
                "another order; teacher and student must read one dataset, and their tokenizers must leave "
                "out the same examples"
            )
        if schema.metadata[TARGETS.encode()].decode() != (targets.key if targets else ""):
            raise KdpipeError(
                f"{path} holds the teacher's signals on tokens that are masked in other ways; teacher and "
                "student need one seed, one `masking` and the same counts of tokens"
            )
        whole = [field for field in schema if FORM.encode() not in field.metadata]
        self._fields = {Signal.parse(field.name): field for field in whole}
        self.columns = {
            signal: MappedColumn([batch.column(field.name) for batch in batches])
            for signal, field in self._fields.items()
        }
        self.usable = np.ones(len(split), dtype=bool)
        for signal, column in self.columns.items():
            positions = self._form(signal)[0]
            counts = row_counts(split, np.arange(len(split)), signal, positions, targets)
            equal = column.lengths() == np.tile(counts, (targets and targets.maskings) or 1)
            if positions == "labelled" and targets is None:
                self.usable &= equal
            elif not equal.all():
                raise KdpipeError(
                    f"{path} holds the teacher's {signal} on other tokens than the student reads; "
                    "matching states or attentions needs equal tokenizers"
                )

    def require(self, request: Request) -> None:
        """Raise KdpipeError if the file lacks signals that losses read, or has them at fewer positions."""
        missing = [signal for signal in request.signals if signal not in self.columns]
        missing += [
            signal
            for signal in request.outputs
            if signal in self.columns and self._form(signal)[0] not in ("tokens", request.positions)
        ]
        if missing:
            what = f"the losses read the teacher's {listed(map(str, missing))}"
            raise KdpipeError(
                f"{self.path}: {what}, which the file lacks, or has at other positions; it has"
                f" {listed(map(str, self.columns))}; cache the teacher for these losses"
            )

    def batch(self, rows: NDArray[np.int64], batch: Mapping[str, Any]) -> Signals:
        """Return the signals of some examples, which stand in the places of the student's rows.

        Args:
            rows: the rows of the examples in the file.
            batch: the batch of these examples that the student reads.
        """
        return {signal: self.signal(signal, column[rows], batch) for signal, column in self.columns.items()}

    def signal(self, signal: Signal, stored: NDArray[Any], batch: Mapping[str, Any]) -> Rows:
        """Return stored rows of a signal [N, ...] as the rows of a batch."""
        positions, shape, precision = self._form(signal)
        values = restored(stored.reshape(-1, *shape), precision)
        return unflattened(rows_at(values, positions, batch), signal)

    def _form(self, signal: Signal) -> tuple[Any, list[int], str]:
        """Return the positions of a signal's rows, the shape of a row, and the precision of its numbers."""
        metadata = self._fields[signal].metadata
        positions, shape, precision = (
            metadata[key.encode()].decode() for key in (POSITIONS, SHAPE, PRECISION)
        )
        return positions, json.loads(shape), precision
