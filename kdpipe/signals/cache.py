"""A teacher's signals on a dataset, computed once: one row per example, in the order of the dataset.

Hidden states are stored for real tokens only, so a batch reads them packed and without padding; the start
and end logits of question answering are stored so too, and padded again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.artifacts.shards import Shards
from kdpipe.data.batches import Collator, batches_by_length, padded_width
from kdpipe.data.encoded import EncodedSplit, ragged
from kdpipe.digest import digest
from kdpipe.errors import KdpipeError
from kdpipe.models.precision import Precision, PrecisionName
from kdpipe.signals.capture import SPANS, Request, Signals
from kdpipe.signals.rows import pack

SIGNALS = "signals.arrow"
# Rows of a record batch. Examples are run in order of length within one, and written in their own order.
ROWS = 1024
BATCH_SIZE = 32
LOGITS = "logits"
STATE = "hidden_state_"
# What the file says of all signals: which examples they are of, and what matrices were multiplied in.
EXAMPLES, MULTIPLIED = "examples", "multiplied"
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


def stored_request(logits: bool, states: Sequence[int], positions: str) -> Request:
    """Return what is asked of a teacher whose signals are stored.

    Args:
        logits: whether its logits are stored.
        states: the hidden states that are stored.
        positions: which rows the task's logits have.
    """
    rows = {"labelled": "label_rows", SPANS: "token_rows"}.get(positions)
    return Request(logits, tuple(states), rows)


def write_knowledge(
    path: Path,
    teacher: Callable[[Mapping[str, Tensor]], Signals],
    collator: Collator,
    precision: str,
    device: torch.device,
    advance: Callable[[int], Any] = lambda count: None,
    shards: Shards | None = None,
    multiplied: PrecisionName = "float32",
    batch_size: int = BATCH_SIZE,
) -> None:
    """Run a teacher over a split and store its signals.

    Args:
        path: the Arrow file to write.
        teacher: gives the signals of a batch.
        collator: makes batches of the split.
        precision: how hidden states are stored; logits are stored as float32.
        device: where the teacher is.
        advance: told how many examples were run.
        shards: keeps what has been run, and knows what an earlier call has.
        multiplied: what the teacher multiplies matrices in, which those that learn from it do, too.
        batch_size: examples that the teacher runs at once.

    Raises:
        KdpipeError: a hidden state is larger than what its precision holds.
    """
    metadata = {EXAMPLES: digest(collator.split.ids.to_pylist()), MULTIPLIED: multiplied}
    with pa.OSFile(str(path), "wb") as file:
        writer = None
        for start in range(0, len(collator.split), ROWS):
            indices = np.arange(start, min(start + ROWS, len(collator.split)))
            make = partial(_signals_of, teacher, collator, indices, precision, device, batch_size)
            table = shards.table(str(start), make) if shards else make()
            writer = writer or pa.ipc.new_file(file, table.schema.with_metadata(metadata))
            writer.write_table(table)
            advance(len(indices))
        if writer is not None:
            writer.close()


def _signals_of(
    teacher: Callable[[Mapping[str, Tensor]], Signals],
    collator: Collator,
    indices: NDArray[np.int64],
    precision: str,
    device: torch.device,
    batch_size: int,
) -> pa.Table:
    split = collator.split
    counts = {STATE: split.lengths[indices], LOGITS: split.logit_counts[indices]}
    columns: dict[str, NDArray[Any]] = {}
    for members in batches_by_length(counts[STATE], batch_size):
        for name, values in _signals(teacher, collator, indices[members], precision, device):
            rows = counts[_kind(name)]
            starts = np.cumsum(rows) - rows
            column = columns.setdefault(name, np.empty((rows.sum(), values.shape[1]), values.dtype))
            column[ragged(starts[members], rows[members])] = values
    return pa.table({name: _column(values, counts[_kind(name)]) for name, values in sorted(columns.items())})


def _kind(name: str) -> str:
    return STATE if name.startswith(STATE) else LOGITS


def _signals(
    teacher: Callable[[Mapping[str, Tensor]], Signals],
    collator: Collator,
    indices: NDArray[np.int64],
    precision: str,
    device: torch.device,
) -> Iterator[tuple[str, NDArray[Any]]]:
    batch = {name: tensor.to(device) for name, tensor in collator(indices.tolist()).items()}
    signals = teacher(batch)
    if signals.logits is not None:
        yield LOGITS, signals.logits.float().cpu().numpy()
    for state, hidden in signals.hidden_states.items():
        rows = pack(hidden, batch["token_rows"]).float().cpu().numpy()
        yield f"{STATE}{state}", _narrowed(rows, state, precision)


def _narrowed(rows: NDArray[np.float32], state: int, precision: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        narrow = rows.astype(precision)
    if np.isfinite(narrow).all():
        return narrow
    largest = np.abs(rows).max()
    if np.isfinite(largest):
        holds = np.finfo(precision).max
        what = f"reaches {largest:,.0f}, more than the {holds:,.0f} that {precision} holds"
        raise KdpipeError(f"the teacher's hidden state {state} {what}; give `cache_precision: float32`")
    raise KdpipeError(
        f"the teacher's hidden state {state} is not finite; its training has diverged, "
        "or its precision is too narrow for it: give `bf16: true` in place of `fp16`"
    )


def _column(values: NDArray[Any], counts: NDArray[np.int64]) -> pa.Array:
    rows = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), rows)


class CachedKnowledge:
    """A teacher's stored signals, read from the memory-mapped file as batches ask for them.

    Args:
        path: the Arrow file.
        split: the examples as the student sees them.

    Attributes:
        precision: what the teacher multiplied matrices in.

    Raises:
        KdpipeError: the teacher has seen other examples, or other numbers of tokens.
    """

    def __init__(self, path: Path, split: EncodedSplit) -> None:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        examples, multiplied = (
            reader.schema.metadata[key.encode()].decode() for key in (EXAMPLES, MULTIPLIED)
        )
        self.precision = Precision(multiplied, "its teacher's signals were computed in it")
        if examples != digest(split.ids.to_pylist()):
            raise KdpipeError(
                f"{path} holds the teacher's signals on other examples than those of {split.path}, or in "
                "another order; teacher and student must read one dataset, and their tokenizers must leave "
                "out the same examples"
            )
        self.batches = [
            {name: _arrays(batch.column(name)) for name in batch.schema.names}
            for batch in map(reader.get_batch, range(reader.num_record_batches))
        ]
        self.names = reader.schema.names
        self.split = split
        expected = {STATE: split.lengths, LOGITS: split.logit_counts}
        for name in self.names:
            stored = np.concatenate([np.diff(batch[name][1]) for batch in self.batches])
            if not np.array_equal(stored, expected[_kind(name)]):
                raise KdpipeError(
                    f"{path} holds the teacher's {name} on other tokens than the student reads; "
                    "matching hidden states or places of answers needs equal tokenizers, and matching words "
                    "texts that neither cuts"
                )

    def batch(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return the signals of some examples: hidden states [N, H], and logits as `run_model` has them.

        These are [B, C] of examples, [M, C] of words, and [2B, L] of windows, starts and ends in turns.
        """
        found = {}
        for name in self.names:
            parts = [self._rows(name, int(index)) for index in indices]
            key = LOGITS_KEY if name == LOGITS else f"{STATE_KEY}{name.removeprefix(STATE)}"
            spans = self.split.windowed and name == LOGITS
            values = _padded_spans(parts, self.split.longest) if spans else np.concatenate(parts)
            found[key] = torch.from_numpy(values)
        return found

    def _rows(self, name: str, index: int) -> NDArray[Any]:
        values, offsets = self.batches[index // ROWS][name]
        place = index % ROWS
        return values[offsets[place] : offsets[place + 1]]


def signals_in(batch: Mapping[str, Tensor]) -> Signals:
    """Return a teacher's stored signals from a batch that holds them."""
    states = {
        int(name.removeprefix(STATE_KEY)): value
        for name, value in batch.items()
        if name.startswith(STATE_KEY)
    }
    return Signals(batch.get(LOGITS_KEY), states)


def _padded_spans(parts: Sequence[NDArray[np.float32]], longest: int) -> NDArray[np.float32]:
    """Return start and end logits [2B, L], -inf at padding, from those of each window's tokens [N, 2].

    Args:
        parts: the logits of each window.
        longest: tokens of the longest window of the split.
    """
    lengths = np.array([len(part) for part in parts])
    logits = np.full((len(parts), 2, padded_width(lengths, longest)), -np.inf, dtype=np.float32)
    for row, part in zip(logits, parts, strict=True):
        row[:, : len(part)] = part.T
    return logits.reshape(2 * len(parts), -1)


def _arrays(column: pa.Array) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return a column's rows as a matrix, and where each example's rows start in it, without copying."""
    rows = column.values
    matrix = rows.flatten().to_numpy().reshape(-1, rows.type.list_size)
    return matrix, column.offsets.to_numpy().astype(np.int64)
