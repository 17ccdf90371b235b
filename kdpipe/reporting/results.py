"""The results table: one row per model, dataset, split and metric."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.sums import verify
from kdpipe.artifacts.tables import read_rows
from kdpipe.config.matrix import Matrix
from kdpipe.plan.entries import Node
from kdpipe.plan.graph import Graph
from kdpipe.reporting.grouping import group_names
from kdpipe.reporting.size import WEIGHTS, read_size

RESULTS = pa.schema(
    [
        ("model", pa.string()),
        ("template", pa.string()),
        ("stage", pa.string()),
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("n", pa.int64()),
        ("classes", pa.int64()),
        ("parameters", pa.int64()),
        ("depth", pa.int64()),
        ("width", pa.int64()),
        ("seed", pa.int64()),
        ("seconds", pa.float64()),
    ]
)


def collect_results(graph: Graph, evaluations: Collection[tuple[str, str]] | None = None) -> pa.Table:
    """Read the scores of models on datasets, with facts of the models.

    The columns are the columns of `RESULTS`, and one per matrix variable; a node without the variable has
    null.

    Args:
        graph: the graph.
        evaluations: the models and datasets; None for all evaluations, with a check of all models.

    Raises:
        KdpipeError: a model or an evaluation is missing, or was changed.
    """
    variables = variable_columns(graph)
    names = graph.nodes if evaluations is None else {model for model, _ in evaluations}
    models = {name: _describe(graph, graph.nodes[name]) for name in names}
    rows = [
        {**models[model], "dataset": dataset, **score}
        for model, dataset in _in_order(graph, graph.evaluations if evaluations is None else evaluations)
        for score in _scores(graph.layout.evaluation(model, dataset))
    ]
    table = pa.Table.from_pylist(rows, schema=RESULTS)
    for variable, column in variables.items():
        values = [graph.nodes[row["model"]].variables.get(variable) for row in rows]
        table = table.append_column(column, _array(values))
    return table


def variable_columns(graph: Graph) -> dict[str, str]:
    """Return the column of each matrix variable: its name, in braces if another column has this name.

    The column `seed` holds the seed of every node, with or without a variable `seed` in the matrix.
    """
    variables = Matrix(graph.document.matrix).variables
    return {name: in_braces(name) if name in RESULTS.names else name for name in variables if name != "seed"}


def in_braces(variable: str) -> str:
    """Return the name of a variable in braces, as a config writes it; no other column has such a name."""
    return f"{{{variable}}}"


def write_results(results: pa.Table, folder: Path) -> None:
    """Write the results as `results.parquet` and `results.csv`."""
    pq.write_table(results, folder / "results.parquet")
    # Without `integer_object_nulls` a column of integers with gaps would become one of decimals.
    results.to_pandas(integer_object_nulls=True).to_csv(
        folder / "results.csv", index=False, lineterminator="\n"
    )


def _describe(graph: Graph, node: Node) -> dict[str, Any]:
    folder = _finished(graph.layout.model(node.name))
    size = read_size(folder)
    return {
        "model": node.name,
        "template": node.template,
        "stage": node.stage,
        "parameters": size.parameters,
        "depth": size.depth,
        "width": size.width,
        "seed": node.settings.seed,
        "seconds": read_manifest(folder)["seconds"],
    }


def _in_order(graph: Graph, evaluations: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    models, datasets = (
        {name: index for index, name in enumerate(_names(graph, section))}
        for section in ("models", "datasets")
    )
    return sorted(evaluations, key=lambda pair: (datasets[pair[1]], models[pair[0]]))


def _names(graph: Graph, section: str) -> list[str]:
    """Return the names of all models or datasets in the order of the config."""
    return list(group_names(getattr(graph.document, section), Matrix(graph.document.matrix), ()))


def _scores(folder: Path) -> list[dict[str, Any]]:
    verify(folder)
    return read_rows(folder / "metrics.parquet")


def _finished(folder: Path) -> Path:
    # Only the header of the weights is read. To digest the weights of all models would take too long.
    verify(folder, but=[WEIGHTS])
    return folder


def _array(values: Sequence[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds in ({bool}, {int}, {float}, {int, float}):
        return pa.array(values, pa.float64() if float in kinds else None)
    return pa.array([None if value is None else str(value) for value in values], pa.string())
