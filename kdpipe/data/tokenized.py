"""Rows of token ids in a `datasets.Dataset`, as `transformers.Trainer` takes them, as an encoded split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import IGNORE_INDEX
from kdpipe.errors import DataError, listed, quoted

# What the column of labels may be called.
LABELS = ("labels", "label")
ANSWER_COLUMNS = ("start_positions", "end_positions")
TOKENIZE = "dataset.map(lambda rows: tokenizer(rows['text'], truncation=True), batched=True)"


class TokenizedSplit(EncodedSplit):
    """A split whose rows a `datasets.Dataset` holds: `input_ids`, `token_type_ids` of pairs, and labels.

    Labels are in `labels` or `label`: the number of a class; a number, for regression; 0 or 1 for each class,
    for several labels; or of each token the number of a tag, or -100 where it counts for nothing. For
    question answering they are in `start_positions` and `end_positions`. For language modelling there are
    none, as the tokens are the labels.

    Args:
        dataset: the rows, without padding.
        task: what they are for.
        classes: names of the model's outputs.

    Attributes:
        largest: the largest length and ids of the rows.

    Raises:
        DataError: the rows have no token ids, or are padded, or their labels do not fit the task.
    """

    def __init__(self, dataset: Any, task: str, classes: Sequence[str]) -> None:
        names = getattr(dataset, "column_names", None)
        if not isinstance(names, list):
            raise DataError(
                f"dataset: expected a datasets.Dataset, found a {type(dataset).__name__}; of a DatasetDict"
                " give one split, such as dataset['train']"
            )
        if "input_ids" not in names or not len(dataset):
            fault = f"found {len(dataset)} rows of {listed(names)}"
            raise DataError(f"dataset: expected rows with `input_ids`, {fault}; tokenize texts: {TOKENIZE}")
        table = dataset.with_format("arrow")[:]
        lengths = pc.list_value_length(table["input_ids"])
        _check_rows(table, lengths)
        ids = {name: table[name] for name in ("input_ids", "token_type_ids") if name in names}
        numbers = pa.array(map(str, range(len(dataset))), pa.string())
        rows = {"id": numbers, "length": lengths.cast(pa.int32())}
        columns = {**ids, **rows, **_labels(dataset, table, task, classes)}
        self._open(Path("dataset"), pa.table(columns).to_batches(), task, classes)
        self.largest = {name: pc.max(pc.list_flatten(column)).as_py() for name, column in ids.items()}
        self.largest["length"] = pc.max(lengths).as_py()


def _check_rows(table: pa.Table, lengths: pa.ChunkedArray) -> None:
    if lengths.null_count or not pc.min(lengths).as_py():
        raise DataError("dataset: expected token ids in every row, found a row without; remove such rows")
    if "attention_mask" in table.column_names:
        real = pc.sum(pc.list_flatten(table["attention_mask"])).as_py()
        if real != pc.sum(lengths).as_py():
            raise DataError(
                "dataset: expected rows without padding, found some; tokenize without `padding`, as batches"
                " are padded when they are made"
            )


def _labels(dataset: Any, table: pa.Table, task: str, classes: Sequence[str]) -> dict[str, Any]:
    """Return the labels in the columns of an encoded split; none if the rows have none."""
    name = next((name for name in LABELS if name in table.column_names), None)
    if task == "question_answering":
        if not set(ANSWER_COLUMNS) <= set(table.column_names):
            return {}
        return {"labels": _spans(table)}
    if task == "language_modeling" or name is None:
        if task == "token_classification":
            raise DataError("dataset: expected `labels` of tokens, which say where a tag is, found none")
        return {}
    _check_order(dataset.features[name], classes, name)
    try:
        return _numbers(table, name, task, len(classes))
    except (pa.ArrowException, ValueError, TypeError) as error:
        wanted = {"regression": "a number", "multi_label": f"{len(classes)} numbers 0 or 1"}
        expected = wanted.get(task, f"numbers below {len(classes)}, the model's outputs")
        raise DataError(
            f"dataset: column {name!r}: for {task} expected {expected} in every row, found"
            f" {quoted(str(error))}; correct the labels, or take a model with a head for them"
        ) from None


def _spans(table: pa.Table) -> pa.Array:
    """Return the places of the first and the last token of each answer."""
    spans = np.stack([table[column].to_numpy() for column in ANSWER_COLUMNS], axis=1)
    lengths = pc.list_value_length(table["input_ids"]).to_numpy()
    # A row without a place has NaN there, which is not in the row either.
    wrong = ~((spans >= 0) & (spans < lengths[:, None])).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"dataset: {' and '.join(ANSWER_COLUMNS)}: expected tokens' places, from 0 to {lengths[row] - 1}"
            f" in row {row}, found {' and '.join(map(str, spans[row]))}; correct or remove the row"
        )
    return pa.FixedSizeListArray.from_arrays(pa.array(spans.astype(np.int32).reshape(-1)), 2)


def _check_order(feature: Any, classes: Sequence[str], name: str) -> None:
    """Refuse classes that the dataset declares in another order than the model has them."""
    while hasattr(feature, "feature"):
        feature = feature.feature
    declared = list(getattr(feature, "names", classes))
    if declared != list(classes) and sorted(declared) == sorted(classes):
        raise DataError(
            f"dataset: column {name!r}: expected the classes in the order of the model, {listed(classes)},"
            f" found {listed(declared)}; load the model with `id2label` in this order, or cast the column"
        )


def _numbers(table: pa.Table, name: str, task: str, classes: int) -> dict[str, Any]:
    values = table[name].combine_chunks()
    if values.null_count:
        raise ValueError("a row without")
    if task == "regression":
        return {"labels": values.cast(pa.float32())}
    if task == "classification":
        return {"labels": _below(values.cast(pa.int64()), classes)}
    if task == "token_classification":
        if not pc.list_value_length(values).equals(pc.list_value_length(table["input_ids"]).combine_chunks()):
            raise ValueError("another number of labels than tokens")
        return _tags(values, classes)
    on = np.array(values.to_pylist(), dtype=np.int8).reshape(len(values), classes)
    flat = _below(pa.array(on.reshape(-1)), 2)
    return {"labels": pa.FixedSizeListArray.from_arrays(flat, classes)}


def _tags(values: pa.Array, classes: int) -> dict[str, Any]:
    """Return where the tokens with a tag stand in each row, and their tags."""
    flat, lengths = values.flatten().to_numpy(), values.value_lengths().to_numpy()
    tagged, starts = flat != IGNORE_INDEX, np.cumsum(lengths) - lengths
    places = np.arange(len(flat)) - np.repeat(starts, lengths)
    counts = np.add.reduceat(tagged.astype(np.int32), starts)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    columns = {"words": places[tagged].astype(np.int32), "labels": _below(pa.array(flat[tagged]), classes)}
    return {name: pa.ListArray.from_arrays(offsets, pa.array(column)) for name, column in columns.items()}


def _below(values: pa.Array, most: int) -> pa.Array:
    least, largest = pc.min_max(values).as_py().values()
    if len(values) and not 0 <= least <= largest < most:
        raise ValueError(f"numbers from {least} to {largest}")
    return values
