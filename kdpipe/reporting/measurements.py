"""The measurements of a graph's models, in one table."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.anatomy.formats import model_and_format
from kdpipe.artifacts.parquet import MEASUREMENTS_SCHEMA
from kdpipe.artifacts.sums import SUMS, verify
from kdpipe.plan.graph import Graph

COLUMNS = pa.schema([("model", pa.string()), *MEASUREMENTS_SCHEMA])


def read_measurements(graph: Graph) -> pd.DataFrame:
    """Return the measurements of all models that have been measured, in each format, in the config's order.

    The columns are `model`, and the columns of `MEASUREMENTS_SCHEMA`.

    Raises:
        KdpipeError: a measurement was changed.
    """
    tables = [COLUMNS.empty_table()]
    for name in graph.measurements:
        folder = graph.layout.measurement(name)
        if (folder / SUMS).exists():
            verify(folder)
            rows = pq.read_table(folder / "measurements.parquet", schema=MEASUREMENTS_SCHEMA)
            tables.append(
                rows.add_column(0, "model", pa.array([model_and_format(name)[0]] * len(rows), pa.string()))
            )
    return pd.DataFrame(pa.concat_tables(tables).to_pandas())
