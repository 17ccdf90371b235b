"""The predictions of models on the splits of datasets, and what the metrics follow from."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from kdpipe import catalog
from kdpipe.anatomy.formats import model_and_format
from kdpipe.data.encoded import EncodedSplit, read_description
from kdpipe.evaluation.task import Task
from kdpipe.plan.graph import Graph

FILE = "predictions.parquet"
# These columns are long, and nothing that is summed needs them.
LONG = ("scores", "nbest")


def task_of(graph: Graph, dataset: str) -> type[Task]:
    """Return the task of a dataset."""
    task: type[Task] = catalog.resolve("tasks", str(graph.datasets[dataset].task))
    return task


def classes_of(graph: Graph, model: str, dataset: str) -> tuple[str, ...]:
    """Return the labels of a dataset as a model has it, in any format; () where they have no names."""
    return tuple(read_description(graph.encoded(dataset, model_and_format(model)[0]))["labels"] or ())


def read_predictions(folder: Path, split: str, without: Sequence[str] = LONG) -> pa.Table:
    """Return the predictions of an evaluation on a split, without some of the columns."""
    file = folder / FILE
    names = [name for name in pq.read_schema(file).names if name not in without]
    return pq.read_table(file, columns=names, filters=pc.field("split") == split)


def decode(graph: Graph, model: str, dataset: str, split: str, places: Sequence[int]) -> list[str]:
    """Return examples of a split as a model reads them, of a long context the first window."""
    encoded = EncodedSplit(graph.encoded(dataset, model), split)
    tokenizer = Tokenizer.from_file(str(graph.layout.model(model) / "tokenizer.json"))
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    rows = np.searchsorted(encoded.column("example").values(), places) if encoded.windowed else places
    texts = []
    for row in rows:
        ids = encoded.column("input_ids")[np.array([row])].tolist()
        runs = [list(run) for is_special, run in groupby(ids, special.__contains__) if not is_special]
        texts.append(" | ".join(map(tokenizer.decode, runs)))
    return texts
