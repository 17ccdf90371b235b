"""A teacher's signals on a dataset, computed once: one row per example, in the order of the dataset.

Hidden states are stored for real tokens only, so a batch reads them packed and without padding; the start
and end logits of question answering are stored so too, and padded again.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.data.batches import Collator, batches_by_length, padded_width
from kdpipe.errors import KdpipeError
from kdpipe.knowledge.teacher import Teacher
from kdpipe.losses.reduce import pack
from kdpipe.models.signals import SPANS

SIGNALS = "signals.arrow"
# Rows of a record batch. Examples are run in order of length within one, and written in their own order.
ROWS = 1024
BATCH_SIZE = 32
LOGITS = "logits"
SPAN_LOGITS = "span_logits"
STATE = "hidden_state_"
# Columns that hold a row for each token.
PACKED = (SPAN_LOGITS, STATE)
# What the signals are called in a batch.
LOGITS_KEY = "teacher_logits"
STATE_KEY = "teacher_state_"


def check_size(tokens: int, width: int, states: int, precision: str, limit_gb: float) -> None:
    """Refuse a cache that would be larger than its limit.

    Args:
        tokens: real tokens of the split.
        width: size of a hidden state.
        states: hidden states stored per token.
        precision: `float16` or `float32`.
        limit_gb: the limit in GB.

    Raises:
        KdpipeError: it would be larger.
    """
    size = tokens * width * states * np.dtype(precision).itemsize / 1e9
    if size > limit_gb:
        raise KdpipeError(
            f"the teacher's {states} hidden states of {tokens:,} tokens would take {size:.1f} GB, more than "
            f"cache_limit_gb {limit_gb:g}; raise it, match fewer layers, or set `cache: off`"
        )


def write_knowledge(
    path: Path,
    teacher: Teacher,
    collator: Collator,
    precision: str,
    device: torch.device,
    advance: Callable[[int], Any] = lambda count: None,
) -> None:
    """Run a teacher over a split and store its signals.

    Args:
        path: the Arrow file to write.
        teacher: gives the signals of a batch.
        collator: makes batches of the split.
        precision: how hidden states are stored; logits are stored as float32.
        device: where the teacher is.
        advance: told how many examples were run.
    """
    with pa.OSFile(str(path), "wb") as file:
        writer = None
        for start in range(0, len(collator.split), ROWS):
            indices = np.arange(start, min(start + ROWS, len(collator.split)))
            table = _record_batch(teacher, collator, indices, precision, device)
            writer = writer or pa.ipc.new_file(file, table.schema)
            writer.write_batch(table)
            advance(len(indices))
        if writer is not None:
            writer.close()


def _record_batch(
    teacher: Teacher,
    collator: Collator,
    indices: NDArray[np.int64],
    precision: str,
    device: torch.device,
) -> pa.RecordBatch:
    lengths = collator.split.lengths[indices]
    ends = np.cumsum(lengths)
    columns: dict[str, NDArray[Any]] = {}
    for members in batches_by_length(lengths, BATCH_SIZE):
        tokens = np.concatenate([np.arange(ends[i] - lengths[i], ends[i]) for i in members])
        for name, values in _signals(teacher, collator, indices[members], precision, device):
            packed = name.startswith(PACKED)
            size = ends[-1] if packed else len(indices)
            column = columns.setdefault(name, np.empty((size, values.shape[1]), values.dtype))
            column[tokens if packed else members] = values
    return pa.record_batch({name: _column(name, values, lengths) for name, values in sorted(columns.items())})


def _signals(
    teacher: Teacher,
    collator: Collator,
    indices: NDArray[np.int64],
    precision: str,
    device: torch.device,
) -> Iterator[tuple[str, NDArray[Any]]]:
    batch = {name: tensor.to(device) for name, tensor in collator(indices.tolist()).items()}
    signals = teacher(batch)
    if signals.logits is not None and teacher.request.rows == SPANS:
        turns = signals.logits.float().reshape(-1, 2, signals.logits.shape[-1])
        yield SPAN_LOGITS, pack(turns.transpose(1, 2), batch["token_rows"]).cpu().numpy()
    elif signals.logits is not None:
        yield LOGITS, signals.logits.float().cpu().numpy()
    for state, hidden in signals.hidden_states.items():
        yield (
            f"{STATE}{state}",
            pack(hidden, batch["token_rows"]).float().cpu().numpy().astype(precision),
        )


def _column(name: str, values: NDArray[Any], lengths: NDArray[np.int64]) -> pa.Array:
    rows = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    if not name.startswith(PACKED):
        return rows
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), rows)


class CachedKnowledge:
    """A teacher's stored signals, read from the memory-mapped file as batches ask for them.

    Args:
        path: the Arrow file.
        lengths: tokens of each example as the student sees it.
    """

    def __init__(self, path: Path, lengths: NDArray[np.int64]) -> None:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self.batches = [
            {name: _arrays(batch.column(name)) for name in batch.schema.names}
            for batch in map(reader.get_batch, range(reader.num_record_batches))
        ]
        self.names = reader.schema.names
        self._check_alignment(path, lengths)

    def _check_alignment(self, path: Path, lengths: NDArray[np.int64]) -> None:
        states = [name for name in self.names if name.startswith(PACKED)]
        rows = sum(len(next(iter(batch.values()))[1]) - 1 for batch in self.batches)
        stored = [np.diff(batch[states[0]][1]) for batch in self.batches] if states else None
        if rows != len(lengths) or (stored and not np.array_equal(np.concatenate(stored), lengths)):
            raise KdpipeError(
                f"{path} holds the teacher's signals on other tokens than the student reads; "
                "what is compared token by token, as hidden states are, needs equal tokenizers"
            )

    def batch(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return the signals of some examples: hidden states packed to real tokens [N, H], and logits [B, C].

        Those of question answering are [2B, L] as `run_model` has them.
        """
        found = {}
        for name in self.names:
            parts = [self._rows(name, int(index)) for index in indices]
            key = f"{STATE_KEY}{name.removeprefix(STATE)}" if name.startswith(STATE) else LOGITS_KEY
            rows = _padded_spans(parts) if name == SPAN_LOGITS else np.concatenate(parts)
            found[key] = torch.from_numpy(rows)
        return found

    def _rows(self, name: str, index: int) -> NDArray[Any]:
        values, offsets = self.batches[index // ROWS][name]
        place = index % ROWS
        return values[offsets[place] : offsets[place + 1]]


def _padded_spans(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return start and end logits [2B, L], -inf at padding, from those of each window's tokens [N, 2]."""
    lengths = np.array([len(part) for part in parts])
    logits = np.full((len(parts), 2, padded_width(lengths)), -np.inf, dtype=np.float32)
    for row, part in zip(logits, parts, strict=True):
        row[:, : len(part)] = part.T
    return logits.reshape(2 * len(parts), -1)


def _arrays(column: pa.Array) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return a column's rows as a matrix, and where each example's rows start in it, without copying."""
    if isinstance(column, pa.ListArray):
        offsets = column.offsets.to_numpy().astype(np.int64)
        rows = column.values
    else:
        offsets = np.arange(len(column) + 1)
        rows = column
    width = rows.type.list_size
    return rows.flatten().to_numpy().reshape(-1, width), offsets
