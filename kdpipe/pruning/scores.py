"""Scores of importance as a table: one row for each head and each neuron."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from kdpipe.models.units import KINDS
from kdpipe.pruning.criterion import Scores

SCORES = "scores.parquet"
SCHEMA = pa.schema(
    [("layer", pa.int32()), ("unit", pa.string()), ("index", pa.int32()), ("score", pa.float32())]
)


def write_scores(path: Path, scores: Scores) -> None:
    """Write scores; `layer` is the place in the body, from 0, with T5's decoder after its encoder."""
    tables = [
        pa.table(
            {
                "layer": np.full(len(own), place, dtype=np.int32),
                "unit": [kind] * len(own),
                "index": np.arange(len(own), dtype=np.int32),
                "score": own.float().cpu().numpy(),
            },
            schema=SCHEMA,
        )
        for kind in KINDS
        for place, own in enumerate(scores[kind])
    ]
    pq.write_table(pa.concat_tables(tables), path)


def read_scores(path: Path) -> Scores:
    """Return the scores of a table by kind and place [units]."""
    rows = pq.read_table(path).to_pandas()
    return {
        kind: [
            torch.from_numpy(own["score"].to_numpy().copy())
            for _, own in rows[rows["unit"] == kind].groupby("layer")
        ]
        for kind in KINDS
    }
