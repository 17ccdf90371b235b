"""What was measured of models: times, memory and sizes."""

import pandas as pd

from kdpipe.plan.graph import Graph


def measurements(graph: Graph) -> pd.DataFrame:
    """Return the measurements of a graph's models."""
    return pd.DataFrame()
