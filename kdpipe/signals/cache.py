"""A teacher's signals on a dataset, computed once: one row per example, in the order of the dataset.

A column holds the rows of a signal, a list for each example, without padding. A row of attentions is as long
as its example, so attentions are stored by pair of query and key. Offsets have 64 bits. The file is mapped.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from kdpipe.anatomy.signals import STORED_BYTES, STORED_ROWS, Signal, StoredPrecision
from kdpipe.artifacts.shards import Shards
from kdpipe.data.batches import Collator, on_device
from kdpipe.data.encoded import EncodedSplit, MappedColumn, open_batches, ragged
from kdpipe.data.sampling import batches_by_length
from kdpipe.data.targets import MASKED_ANEW, Targets
from kdpipe.errors import KdpipeError, listed
from kdpipe.models.precision import Precision, PrecisionName
from kdpipe.signals.capture import Request, Signals
from kdpipe.signals.formats import flat, narrowed, precision_of, restored, row_counts, unflattened
from kdpipe.signals.rows import rows_at

SIGNALS = "signals.arrow"
CACHED_BATCH = 32
# Metadata of the file: a digest of the examples, the precision in which matrices were multiplied, and what
# the masks depend on.
EXAMPLES, MULTIPLIED, TARGETS = "examples", "multiplied", "targets"
# Metadata of a column: the positions of its rows, the shape of a row, and the precision of its numbers.
POSITIONS, SHAPE, PRECISION = "positions", "shape", "precision"
# The number of ids that are read at a time.
IDS = 65_536


def write_knowledge(
    path: Path,
    teacher: Callable[[Mapping[str, Any]], Signals],
    collator: Collator,
    precision: StoredPrecision,
    device: torch.device,
    advance: Callable[[int], Any] = lambda count: None,
    shards: Shards | None = None,
    multiplied: PrecisionName = "float32",
    batch_size: int = CACHED_BATCH,
    size: int = 0,
) -> None:
    """Run a teacher over a split, in each of its maskings, and store its signals.

    Args:
        path: the Arrow file to write.
        teacher: gives the signals of a batch.
        collator: makes batches of the split.
        precision: the precision of stored signals that may be halved; others are stored as float32.
        device: the device of the teacher.
        advance: called with the number of examples after each record batch.
        shards: the signals that this call and earlier calls have computed.
        multiplied: the precision in which the teacher and its students multiply matrices.
        batch_size: number of examples that the teacher runs at once.
        size: the bytes of all signals, by which record batches of large rows have fewer rows.

    Raises:
        KdpipeError: a signal is larger than the largest number of its precision, or text is masked anew in
            every epoch.
    """
    if collator.targets and collator.targets.maskings is None:
        raise KdpipeError(MASKED_ANEW)
    count, masked = len(collator.split), collator.targets.key if collator.targets else ""
    metadata = {EXAMPLES: examples_digest(collator.split), MULTIPLIED: multiplied, TARGETS: masked}
    rows = max(1, min(STORED_ROWS, STORED_BYTES * count * collator.maskings // max(size, 1)))
    with pa.OSFile(str(path), "wb") as file:
        writer = None
        for masking, start in product(range(collator.maskings), range(0, count, rows)):
            collator.epoch = masking
            indices = np.arange(start, min(start + rows, count))
            make = partial(_table, teacher, collator, indices, precision, device, batch_size)
            table = shards.table(str(masking * count + start), make) if shards else make()
            writer = writer or pa.ipc.new_file(file, table.schema.with_metadata(metadata))
            writer.write_table(table)
            advance(len(indices))
        if writer is not None:
            writer.close()


def examples_digest(split: EncodedSplit) -> str:
    """Return a digest of the examples of a split and their order."""
    sha256 = hashlib.sha256()
    for chunk in split.ids.chunks:
        for start in range(0, len(chunk), IDS):
            sha256.update("".join(f"{name!r}\n" for name in chunk[start : start + IDS].to_pylist()).encode())
    return sha256.hexdigest()


def _table(
    teacher: Callable[[Mapping[str, Any]], Signals],
    collator: Collator,
    indices: NDArray[np.int64],
    precision: StoredPrecision,
    device: torch.device,
    batch_size: int,
) -> pa.Table:
    """Return the signals of some examples in a row each; the teacher runs them by length."""
    split = collator.split
    columns: dict[Signal, tuple[str, NDArray[np.int64], NDArray[Any]]] = {}
    for members in batches_by_length(split.lengths[indices], batch_size):
        batch = on_device(collator(indices[members].tolist()), device)
        for signal, rows in teacher(batch).items():
            values = narrowed(flat(rows, signal), signal, precision_of(signal, precision))
            if signal not in columns:
                counts = row_counts(split, indices, signal, rows.positions, collator.targets)
                whole = np.empty((counts.sum(), *values.shape[1:]), values.dtype)
                columns[signal] = rows.positions, counts, whole
            _, counts, whole = columns[signal]
            whole[ragged((np.cumsum(counts) - counts)[members], counts[members])] = values
    fields, arrays = [], []
    for signal, (positions, counts, values) in sorted(columns.items(), key=itemgetter(0)):
        rows_type = pa.list_(pa.from_numpy_dtype(values.dtype), int(np.prod(values.shape[1:])))
        metadata = {
            POSITIONS: positions,
            SHAPE: json.dumps(values.shape[1:]),
            PRECISION: precision_of(signal, precision),
        }
        fields.append(pa.field(str(signal), pa.large_list(rows_type), metadata=metadata))
        numbers = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=rows_type)
        arrays.append(pa.LargeListArray.from_arrays(np.concatenate([[0], np.cumsum(counts)]), numbers))
    return pa.table(arrays, schema=pa.schema(fields))


class CachedKnowledge:
    """A teacher's stored signals, read from the memory-mapped file as batches ask for them.

    Args:
        path: the Arrow file.
        split: the examples as the student sees them.
        targets: the tokens that the student is to predict, for language modelling.

    Attributes:
        precision: the precision in which the teacher multiplied matrices.
        columns: the stored rows of each signal.

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
        self._fields = {Signal.parse(field.name): field for field in schema}
        self.columns = {
            signal: MappedColumn([batch.column(field.name) for batch in batches])
            for signal, field in self._fields.items()
        }
        for signal, column in self.columns.items():
            counts = row_counts(split, np.arange(len(split)), signal, self._form(signal)[0], targets)
            if not np.array_equal(column.lengths(), np.tile(counts, (targets and targets.maskings) or 1)):
                raise KdpipeError(
                    f"{path} holds the teacher's {signal} on other tokens than the student reads; "
                    "matching states, attentions or places of answers needs equal tokenizers, and matching "
                    "words texts that neither cuts"
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
        signals: Signals = {}
        for signal, column in self.columns.items():
            positions, shape, precision = self._form(signal)
            values = restored(column[rows].reshape(-1, *shape), precision)
            signals[signal] = unflattened(rows_at(values, positions, batch), signal)
        return signals

    def _form(self, signal: Signal) -> tuple[Any, list[int], str]:
        """Return the positions of a signal's rows, the shape of a row, and the precision of its numbers."""
        metadata = self._fields[signal].metadata
        positions, shape, precision = (
            metadata[key.encode()].decode() for key in (POSITIONS, SHAPE, PRECISION)
        )
        return positions, json.loads(shape), precision
