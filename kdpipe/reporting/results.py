"""The results: one row per model, dataset, split and metric, with facts of the model."""

import json
from collections.abc import Callable, Collection, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from kdpipe import catalog
from kdpipe.anatomy.families import family_name
from kdpipe.anatomy.formats import TOLERANCES, TORCH, model_and_format
from kdpipe.anatomy.heads import HEADS, in_body
from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.artifacts.sums import SUMS, verify
from kdpipe.config.matrix import Matrix
from kdpipe.declarations import constants
from kdpipe.errors import KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.plan.saved.files import FLOATS, INTEGERS, SCALES, WEIGHTS_FILE
from kdpipe.reporting.grouping import group_names

TEXTS = ("model", "template", "stage", "format", "dataset", "split", "metric")
WHOLE_COLUMNS = ("n", "classes", "parameters", "depth", "width", "seed")
RESULTS = pa.schema(
    [
        *((name, pa.string()) for name in TEXTS),
        ("value", pa.float64()),
        *((name, pa.int64()) for name in WHOLE_COLUMNS),
        ("seconds", pa.float64()),
    ]
)


def collect_results(graph: Graph, evaluations: Collection[tuple[str, str]] | None = None) -> pa.Table:
    """Read the scores of models on datasets, with facts of the models.

    The columns are the columns of `RESULTS`, and one per matrix variable; a node without the variable has
    null. Without `evaluations` all models are checked, and all evaluations are read, also the
    evaluations of exported models.

    Raises:
        KdpipeError: a model or an evaluation is missing, or was changed.
    """
    wanted = (*graph.evaluations, *graph.exported_evaluations) if evaluations is None else evaluations
    names = graph.nodes if evaluations is None else {model_and_format(name)[0] for name, _ in wanted}
    models = {name: _facts(graph, name) for name in names}
    rows: list[dict[str, Any]] = []
    for name, dataset in _in_order(graph, wanted):
        folder = graph.layout.evaluation(name, dataset)
        verify(folder)
        scores = read_parquet(folder / "metrics.parquet")
        model, format = model_and_format(name)
        rows += ({**models[model], "format": format, "dataset": dataset, **score} for score in scores)
    table = pa.Table.from_pylist(rows, schema=RESULTS)
    for variable, column in variable_columns(graph).items():
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


def read_size(folder: Path) -> dict[str, int | None]:
    """Return parameters, depth and width of the model in a folder; None for sizes of an unknown family."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    target = catalog.FAMILIES.get(family_name(config.get("model_type", "")))
    fields = constants(target)["shape_fields"] if target else {}
    sizes = {size: config.get(fields.get(size)) for size in ("depth", "width")}
    parameters = [saved_parameters(folder / WEIGHTS_FILE)]
    if target and (folder / HEADS).is_dir():
        # The body is the same in the models of all heads.
        in_head = partial(_in_head, family_name(config["model_type"]))
        parameters += [saved_parameters(head / WEIGHTS_FILE, in_head) for head in (folder / HEADS).iterdir()]
    return {"parameters": sum(parameters), **sizes}


def _in_head(family: str, tensor: str) -> bool:
    return not in_body(family, tensor)


def saved_parameters(path: Path, counts: Callable[[str], bool] = lambda name: True) -> int:
    """Return the number of weights in a safetensors file, in float or int8, from its header alone.

    Args:
        path: the file.
        counts: tells by the name of a tensor whether it counts.

    Raises:
        KdpipeError: the file has another size than its header says.
    """
    try:
        with safe_open(path, "numpy") as weights:
            names = filter(counts, weights.keys())
            tensors = [weights.get_slice(name) for name in names if not name.endswith(SCALES)]
    except SafetensorError as error:
        raise KdpipeError(
            f"{path}: expected the size that its header says, found {path.stat().st_size:,} bytes ({error}); "
            f"delete {path.parent / SUMS} and run its stage again"
        ) from None
    return sum(prod(tensor.get_shape()) for tensor in tensors if tensor.get_dtype() in (*FLOATS, INTEGERS))


def _facts(graph: Graph, name: str) -> dict[str, Any]:
    node, folder = graph.nodes[name], graph.layout.model(name)
    # Only the header of the weights is read. To digest the weights of all models would take too long.
    verify(folder, but=[WEIGHTS_FILE])
    return {
        "model": name,
        "template": node.template,
        "stage": node.stage,
        **read_size(folder),
        "seed": node.settings.seed,
        "seconds": read_manifest(folder)["seconds"],
    }


def _in_order(graph: Graph, evaluations: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return evaluations by dataset and model, in the order of the config."""
    document, matrix = graph.document, Matrix(graph.document.matrix)
    models, datasets = (
        list(group_names(names, matrix, ())) for names in (document.models, document.datasets)
    )
    formats = [TORCH, *TOLERANCES]

    def place(pair: tuple[str, str]) -> tuple[int, int, int]:
        model, format = model_and_format(pair[0])
        return datasets.index(pair[1]), models.index(model), formats.index(format)

    return sorted(evaluations, key=place)


def _array(values: Sequence[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds in ({bool}, {int}, {float}, {int, float}):
        return pa.array(values, pa.float64() if float in kinds else None)
    return pa.array([None if value is None else str(value) for value in values], pa.string())
