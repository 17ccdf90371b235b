"""Run a teacher over a split, and store its signals: one row per example, in the order of the dataset."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.anatomy.signals import STORED_BYTES, STORED_ROWS, Positions, Signal, StoredPrecision
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.growing import GrowingFile
from kdpipe.data.batches import Collator, on_device
from kdpipe.data.sampling import batches_by_length
from kdpipe.data.targets import MASKED_ANEW
from kdpipe.errors import KdpipeError
from kdpipe.models.precision import PrecisionName
from kdpipe.signals.cache import EXAMPLES, MULTIPLIED, POSITIONS, PRECISION, SHAPE, TARGETS, examples_digest
from kdpipe.signals.capture import Signals
from kdpipe.signals.formats import (
    Listed,
    as_numbers,
    examples_of,
    narrowed,
    precision_of,
    row_counts,
    row_shape,
)

CACHED_BATCH = 32


def write_knowledge(
    path: Path,
    teacher: Callable[[Mapping[str, Any]], Signals],
    collator: Collator,
    precision: StoredPrecision,
    device: torch.device,
    advance: Callable[[int], Any] = lambda count: None,
    state: Path | None = None,
    clock: Clock | None = None,
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
        state: the folder of what this call and earlier calls have computed; by default a temporary one.
        clock: the working time of the stage, for the folder of state.
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
    with nullcontext(state) if state else TemporaryDirectory(dir=path.parent) as folder:
        file = GrowingFile(Path(folder), clock or Clock(), metadata)
        for masking, start in product(range(collator.maskings), range(0, count, rows)):
            collator.epoch = masking
            indices = np.arange(start, min(start + rows, count))
            file.add(partial(_computed, teacher, collator, indices, precision, device, batch_size))
            advance(len(indices))
        file.finish(path)


@dataclass
class _Column:
    """The stored rows of a signal of some examples.

    Args:
        positions: the positions of the rows.
        bounds: the places where the rows of each example begin, and the last row ends.
        values: the rows.
    """

    positions: Positions
    bounds: NDArray[np.int64]
    values: Tensor

    def put(self, members: NDArray[np.int64], examples: Iterable[Tensor]) -> None:
        """Store the rows of some examples in their places."""
        for member, rows in zip(members, examples, strict=True):
            self.values[self.bounds[member] : self.bounds[member + 1]].view(rows.shape).copy_(rows)


@dataclass
class _Lists:
    """The lists of a column of some examples.

    Args:
        metadata: what the column holds.
        values: the list of each example.
    """

    metadata: Mapping[str, str]
    values: list[NDArray[Any]]

    def put(self, members: NDArray[np.int64], lists: Sequence[NDArray[Any]]) -> None:
        """Store the lists of some examples in their places."""
        for member, each in zip(members.tolist(), lists, strict=True):
            self.values[member] = each

    def stored(self, name: str) -> tuple[pa.Array, pa.Field]:
        """Return the lists of all examples, and what they are."""
        whole = np.concatenate(self.values)
        bounds = np.concatenate([[0], np.cumsum([len(each) for each in self.values])])
        numbers = pa.array(whole.reshape(-1))
        if whole.ndim > 1:
            numbers = pa.FixedSizeListArray.from_arrays(numbers, whole.shape[1])
        array = pa.LargeListArray.from_arrays(bounds, numbers)
        return array, pa.field(name, array.type, metadata=dict(self.metadata))


def _computed(
    teacher: Callable[[Mapping[str, Any]], Signals],
    collator: Collator,
    indices: NDArray[np.int64],
    precision: StoredPrecision,
    device: torch.device,
    batch_size: int,
) -> pa.RecordBatch:
    """Return the signals of some examples in a row each; the teacher runs them by length."""
    split = collator.split
    columns: dict[Signal, _Column] = {}
    lists: dict[str, _Lists] = {}
    for members in batches_by_length(split.lengths[indices], batch_size):
        batch = on_device(collator(indices[members].tolist()), device)
        for signal, rows in teacher(batch).items():
            if isinstance(rows, Listed):
                for each in rows.lists(signal, precision):
                    empty = _Lists(each.metadata, [np.empty(0)] * len(indices))
                    lists.setdefault(each.name, empty).put(members, each.values)
                continue
            stored = replace(rows, values=narrowed(rows.values, signal, precision))
            if signal not in columns:
                counts = row_counts(split, indices, signal, rows.positions, collator.targets)
                shape = counts.sum(), *row_shape(rows, signal)
                values = torch.empty(shape, dtype=stored.values.dtype)
                columns[signal] = _Column(rows.positions, np.concatenate([[0], np.cumsum(counts)]), values)
            columns[signal].put(members, examples_of(stored, signal))
    stored_columns = [_stored(*item, precision) for item in sorted(columns.items(), key=itemgetter(0))]
    stored_columns += [each.stored(name) for name, each in sorted(lists.items())]
    arrays, fields = zip(*stored_columns, strict=True)
    return pa.record_batch(list(arrays), schema=pa.schema(fields))


def _stored(signal: Signal, column: _Column, precision: StoredPrecision) -> tuple[pa.Array, pa.Field]:
    """Return a list of rows for each example, and what the rows are."""
    numbers = as_numbers(column.values)
    shape = numbers.shape[1:]
    rows_type = pa.list_(pa.from_numpy_dtype(numbers.dtype), int(np.prod(shape)))
    metadata = {
        POSITIONS: column.positions,
        SHAPE: json.dumps(shape),
        PRECISION: precision_of(signal, precision),
    }
    rows = pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), type=rows_type)
    array = pa.LargeListArray.from_arrays(column.bounds, rows)
    return array, pa.field(str(signal), array.type, metadata=metadata)
