"""The labels of an encoded split in words, for the log."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdpipe.data.encoded import EncodedSplit, examples_file
from kdpipe.data.source import TRAIN

LOG = logging.getLogger(__name__)
BEGIN = "B-"


def labels_in_words(folder: Path, split: str, description: Mapping[str, Any]) -> str:
    """Return the numbers of a split's labels by kind, or a remark that the split has none.

    Args:
        folder: the encoded dataset.
        split: the split's name.
        description: what `dataset.json` says of the dataset.
    """
    task, names = description["task"], description["labels"]
    if task == "language_modeling":
        return "text, which needs no labels"
    if "labels" not in description["splits"][split]["columns"]:
        return "no labels" if split == TRAIN else "no labels, so it will not be scored"
    if task == "question_answering":
        return _answers(examples_file(folder, split))
    labels = EncodedSplit(folder, split).labels
    assert labels is not None
    match task:
        case "regression":
            return f"numbers from {labels.min():g} to {labels.max():g}, {labels.mean():g} in the mean"
        case "multi_label":
            return _counts(names, labels.sum(axis=0))
        case "token_classification":
            counts = np.bincount(labels, minlength=len(names))
            types = [place for place, name in enumerate(names) if name.startswith(BEGIN)]
            return _counts([names[place].removeprefix(BEGIN) for place in types], counts[types])
    counts = np.bincount(labels, minlength=len(names))
    if split == TRAIN and not counts.all():
        LOG.warning("the training split has no example of some classes, which models will not learn to tell")
    return _counts(names, counts)


def _counts(names: Sequence[str], counts: NDArray[np.integer[Any]]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts.tolist(), strict=True))


def _answers(file: Path) -> str:
    numbers = pc.list_value_length(pq.read_table(file, columns=["answers"])["answers"]).to_numpy()
    answered = int(np.count_nonzero(numbers))
    return (
        f"{answered:,} questions with answers, all found where they are said to be,"
        f" {len(numbers) - answered:,} without"
    )
