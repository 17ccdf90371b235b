"""Write a source as a dataset: an Arrow file of token ids per split, and `dataset.json`."""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdpipe.artifacts.shards import Shards
from kdpipe.data.corpus import CleaningRules
from kdpipe.data.encoded import examples_file, split_file
from kdpipe.data.encoding import Encoded, Encoder, encoder_for
from kdpipe.data.mapped import MappedColumn, open_batches
from kdpipe.data.packing import WholeTextEncoder, packed
from kdpipe.data.pipeline import Pipeline, chunks
from kdpipe.data.source import Answer, Example, Source
from kdpipe.errors import DataError, quoted

BATCH_TOKENS = 1 << 20
# The columns whose largest numbers a model must allow: lengths of rows, and ids.
CHECKED = ("length", "input_ids", "token_type_ids")
# Answers are scored as texts, so the contexts and answers of questions are stored beside the rows.
QUESTIONS = "question_answering"
ANSWER = pa.struct([("start", pa.int32()), ("text", pa.string())])
EXAMPLES = pa.schema([("id", pa.string()), ("context", pa.string()), ("answers", pa.list_(ANSWER))])


def write_dataset(
    folder: Path,
    source: Source,
    tokenizer_file: Path,
    *,
    task: str,
    max_length: int,
    stride: int = 128,
    packing: bool = False,
    processes: int = 1,
    progress: Callable[[int], object] | None = None,
    shards: Shards | None = None,
) -> dict[str, Any]:
    """Tokenize every split of a source into `{split}.arrow`, and describe them in `dataset.json`.

    The contexts and answers of questions go into `{split}.examples.parquet`.

    Args:
        folder: the folder of the files, which exists.
        source: the source; `kdpipe.data.views` samples, combines and unlabels sources.
        tokenizer_file: a `tokenizer.json`.
        task: the task of the examples, which decides their encoder.
        max_length: longest row in tokens, special ones included.
        stride: tokens that the windows of a long context share, for question answering.
        packing: texts are joined and cut into rows of `max_length` tokens, for language modelling.
        processes: number of processes that tokenize; the files are the same for any number.
        progress: called with numbers of further examples, as `tqdm.update` is.
        shards: the rows that this run and earlier runs have encoded.

    Returns:
        The content of `dataset.json`: task, labels, max_length, the largest length and ids, and of each split
        its columns, and the numbers of examples, rows and tokens, also of those split, dropped or cut.

    Raises:
        DataError: the source is malformed, a split has no row, or an id occurs twice.
    """
    make_encoder: Callable[[], Encoder] = encoder_for(task, tokenizer_file, max_length, source.labels, stride)
    if packing:
        make_encoder = partial(WholeTextEncoder, tokenizer_file)
    splits, largest = {}, dict.fromkeys(CHECKED, 0)
    with Pipeline(make_encoder, processes) as pipeline:
        for split in source.splits():
            examples = _alike(source.read(split))
            if task == QUESTIONS:
                examples = _write_examples(examples_file(folder, split), examples)
            encoded = pipeline.encode_examples(examples, shards, split)
            encoded = packed(encoded, max_length) if packing else encoded
            splits[split] = _write_split(split_file(folder, split), encoded, largest, progress)
    description = {
        "task": task,
        "labels": source.labels and list(source.labels),
        "max_length": max_length,
        "largest": largest,
        "splits": splits,
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    return description


def _alike(examples: Iterable[Example]) -> Iterator[Example]:
    """Pass examples on, as long as all have a label or none, are pairs or not, and keep the same columns."""
    first = None
    for example in examples:
        first = first or example
        labels_differ = (example.label is None) != (first.label is None)
        if labels_differ or (example.text_pair is None) != (first.text_pair is None):
            raise DataError(
                f"expected {'labels' if labels_differ else 'pairs of texts'} in all examples of a split or in"
                f" none, found {first.id} and {example.id} to differ; mend the data"
            )
        if [name for name, _ in example.kept] != [name for name, _ in first.kept]:
            what = f"found {first.id} and {example.id} to differ"
            raise DataError(f"expected the same columns in `keep` of all parts of a combination, {what}")
        yield example


def _write_examples(file: Path, examples: Iterable[Example]) -> Iterator[Example]:
    """Pass questions on, and write id, context and answers of each as a row of a Parquet file.

    The answers are null where the split has no answers, and empty for a question without an answer.
    """
    with pq.ParquetWriter(file, EXAMPLES, compression="zstd") as writer:
        for chunk in chunks(examples):
            rows = [{"id": e.id, "context": e.text_pair, "answers": _answers(e)} for e in chunk]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, EXAMPLES))
            yield from chunk


def _answers(example: Example) -> list[dict[str, object]] | None:
    if not isinstance(example.label, tuple):
        return None
    return [answer._asdict() for answer in example.label if isinstance(answer, Answer)]


def _write_split(
    file: Path, encoded: Iterable[Encoded], largest: dict[str, int], progress: Callable[[int], object] | None
) -> dict[str, Any]:
    """Write rows in record batches of about equal size, and hold 8 bytes of each row's id."""
    counts: Counter[str] = Counter()
    hashes = array("q")
    columns: list[str] = []
    with ExitStack() as stack:
        writer = None
        for batch in _joined(_numbered(encoded, counts, largest, progress)):
            columns = batch.schema.names
            writer = writer or stack.enter_context(pa.ipc.new_file(str(file), batch.schema))
            writer.write_batch(batch)
            hashes.extend(map(hash, batch.column("id").to_pylist()))
    if not counts["rows"]:
        raise DataError(
            f"split {file.stem!r}: expected at least one row, found none of {counts['examples']} examples:"
            f" {counts['dropped_short']} dropped as shorter than {CleaningRules.min_length} tokens,"
            f" {counts['dropped_unknown']} as mostly unknown tokens; give longer texts, or a model whose"
            " tokenizer knows their words"
        )
    _check_unique(file, np.frombuffer(hashes, dtype=np.int64))
    return {"columns": columns, **counts}


def _numbered(
    encoded: Iterable[Encoded],
    counts: Counter[str],
    largest: dict[str, int],
    progress: Callable[[int], object] | None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows, count them, and number the examples of windows from the first of the split."""
    for batch, batch_counts in encoded:
        if "example" in batch.schema.names:
            numbers = pc.add(batch["example"], pa.scalar(counts["examples"], pa.int32()))
            batch = batch.set_column(batch.schema.get_field_index("example"), "example", numbers)
        yield batch
        counts.update(batch_counts)
        for name in CHECKED if len(batch) else ():
            if name in batch.schema.names:
                largest[name] = max(largest[name], int(MappedColumn([batch.column(name)]).values().max()))
        if progress:
            progress(batch_counts["examples"])


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join batches until they have `BATCH_TOKENS` tokens."""
    group: list[pa.RecordBatch] = []
    tokens = 0
    for batch in batches:
        group.append(batch)
        tokens += len(batch.column("input_ids").values)
        if tokens >= BATCH_TOKENS:
            yield pa.concat_batches(group)
            group, tokens = [], 0
    if group:
        yield pa.concat_batches(group)


def _check_unique(file: Path, hashes: NDArray[np.int64]) -> None:
    ordered = np.sort(hashes)
    suspects = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    if not suspects:
        return
    columns = (batch.column("id") for batch in open_batches(file))
    ids = Counter(name for column in columns for name in column.to_pylist() if hash(name) in suspects)
    name, times = ids.most_common(1)[0]
    if times > 1:
        raise DataError(
            f"{file.stem}: expected every example to have its own id, found {quoted(name)} {times} times"
        )
