"""Scores of importance as a table: one row for each head and each neuron."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from kdpipe.models.units import UNITS
from kdpipe.pruning.criterion import Scores

SCORES = "scores.parquet"
# Key of the number of places of each kind, as a place without units has no rows.
PLACES = b"places"
SCHEMA = pa.schema(
    [("layer", pa.int32()), ("unit", pa.string()), ("index", pa.int32()), ("score", pa.float32())]
)


def write_scores(path: Path, scores: Scores) -> None:
    """Write scores; `layer` is the place in the body, from 0, with T5's decoder after its encoder."""
    tables = [
        pa.table(
            {
                "layer": np.full(len(values), place, dtype=np.int32),
                "unit": [kind] * len(values),
                "index": np.arange(len(values), dtype=np.int32),
                "score": values.float().cpu().numpy(),
            },
            schema=SCHEMA,
        )
        for kind in UNITS
        for place, values in enumerate(scores[kind])
    ]
    places = json.dumps({kind: len(scores[kind]) for kind in UNITS})
    pq.write_table(pa.concat_tables(tables).replace_schema_metadata({PLACES: places}), path)


def scores_of(folders: Sequence[Path]) -> Scores:
    """Return the scores of an artifact of `score_importance`, or the mean of several on different datasets.

    The losses of tasks differ in size, so the scores of a kind on a dataset count as shares of their sum.
    """
    found = [read_scores(folder / SCORES) for folder in folders]
    if len(found) == 1:
        return found[0]
    totals = [{kind: sum(float(place.sum()) for place in scores[kind]) for kind in UNITS} for scores in found]
    return {
        kind: [
            torch.stack(
                [place / (total[kind] or 1.0) for place, total in zip(places, totals, strict=True)]
            ).mean(0)
            for places in zip(*(scores[kind] for scores in found), strict=True)
        ]
        for kind in UNITS
    }


def read_scores(path: Path) -> Scores:
    """Return the scores of a table by kind and place [units]."""
    table = pq.read_table(path)
    places = json.loads(table.schema.metadata[PLACES])
    scores: Scores = {kind: [torch.empty(0)] * places[kind] for kind in UNITS}
    for (kind, place), rows in table.to_pandas().groupby(["unit", "layer"]):
        scores[kind][place] = torch.from_numpy(rows["score"].to_numpy().copy())
    return scores
