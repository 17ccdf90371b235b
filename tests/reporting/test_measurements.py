"""The measurements of all models in one table."""

from collections.abc import Callable
from typing import Any

import pytest

from kdpipe.artifacts.artifact import publish
from kdpipe.artifacts.checkpoints import Clock
from kdpipe.artifacts.parquet import MEASUREMENTS_SCHEMA, write_parquet
from kdpipe.errors import KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.reporting.measurements import read_measurements
from tests.made import graph_with

__all__ = ["graph_with"]
ROW = {
    "format": "torch",
    "batch": 1,
    "length": 32,
    "threads": 1,
    "warmup": 5,
    "repeats": 20,
    "median_seconds": 0.5,
    "p95_seconds": 0.75,
    "peak_bytes": 10**9,
    "device": "cpu",
    "bytes": 10**6,
}


@pytest.fixture
def graph(graph_with: Callable[..., Graph]) -> Graph:
    """A graph with measured models; the last of them is not measured yet."""
    graph = graph_with(lambda config: config.update(measure={"models": ["student", "teacher", "base"]}))
    for model, batches in (("teacher", (1,)), ("student", (1, 2))):
        with publish(graph.layout.measurement(model), graph.layout.state, {}, Clock()) as draft:
            rows: list[dict[str, Any]] = [{**ROW, "batch": batch} for batch in batches]
            write_parquet(draft.folder / "measurements.parquet", rows, MEASUREMENTS_SCHEMA)
    return graph


def test_a_row_for_each_model_and_shape(graph: Graph) -> None:
    table = read_measurements(graph)
    assert [*table.columns] == ["model", *MEASUREMENTS_SCHEMA.names]
    assert table[["model", "batch"]].to_numpy().tolist() == [["student", 1], ["student", 2], ["teacher", 1]]
    assert {**table.iloc[2]} == {"model": "teacher", **ROW}


def test_a_graph_without_measurements(graph_with: Callable[..., Graph]) -> None:
    table = read_measurements(graph_with())
    assert (len(table), [*table.columns]) == (0, ["model", *MEASUREMENTS_SCHEMA.names])


def test_a_measurement_that_was_changed(graph: Graph) -> None:
    (graph.layout.measurement("teacher") / "measurements.parquet").write_bytes(b"")
    with pytest.raises(KdpipeError, match=r"measurements\.parquet"):
        read_measurements(graph)


def test_an_exported_model_is_a_row_of_its_model(graph_with: Callable[..., Graph]) -> None:
    def exported(config: dict[str, Any]) -> None:
        config["models"]["teacher"]["finetune"]["export"] = ["onnx"]
        config["measure"] = {"models": ["teacher"]}

    graph = graph_with(exported)
    assert graph.measurements == ("teacher", "teacher+onnx")
    for name, format in (("teacher", "torch"), ("teacher+onnx", "onnx")):
        with publish(graph.layout.measurement(name), graph.layout.state, {}, Clock()) as draft:
            write_parquet(
                draft.folder / "measurements.parquet", [{**ROW, "format": format}], MEASUREMENTS_SCHEMA
            )
    found = read_measurements(graph)[["model", "format"]].to_numpy().tolist()
    assert found == [["teacher", "torch"], ["teacher", "onnx"]]
