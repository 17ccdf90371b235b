import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from kdpipe.artifacts.sums import SUMS
from kdpipe.errors import KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.reporting.results import RESULTS, collect_results, read_size, saved_parameters, write_results


def test_a_row_per_model_dataset_split_and_metric(example: Graph):
    rows = collect_results(example).to_pylist()
    assert len(rows) == 2 * (1 + 2 * (1 + 3 + 3))
    assert rows[0]["model"] == "base"
    (row,) = (row for row in rows if row["model"] == "plain-sst2-3" and row["split"] == "test")
    assert row == {
        "model": "plain-sst2-3",
        "template": "plain-{task}-{seed}",
        "stage": "finetune",
        "format": "torch",
        "dataset": "sst2",
        "split": "test",
        "metric": "accuracy",
        "value": pytest.approx(0.77 - 0.1 - 0.05),
        "n": 20,
        "classes": None,
        "parameters": 5 * 4 + 1,
        "depth": 1,
        "width": 4,
        "seed": 3,
        "seconds": 2.0,
        "task": "sst2",
    }


def test_a_variable_is_null_where_the_name_lacks_it_and_keeps_its_type(
    config: dict[str, Any], make_results: Any, tmp_path: Path
):
    config["matrix"]["temperature"] = [1, 2]
    config["models"]["plain-{task}-{temperature}"] = config["models"].pop("plain-{task}-{seed}")
    config["models"]["plain-{task}-{temperature}"]["finetune"]["seed"] = 7
    results = collect_results(make_results(config))
    column = {row["model"]: row["temperature"] for row in results.to_pylist()}
    assert (column["plain-mrpc-2"], column["base"]) == (2, None)
    write_results(results, tmp_path)
    text = (tmp_path / "results.csv").read_text()
    assert "plain-mrpc-2,plain-{task}-{temperature},finetune,torch,mrpc,validation,accuracy" in text
    assert "base,base,pretrain,torch,text,test,perplexity,25.0,20,,22,2,4,42,2.0,,\n" in text
    assert ",7,2.0,mrpc,2\n" in text


def test_a_variable_that_shares_its_name_with_a_column_stands_in_braces(
    config: dict[str, Any], make_results: Any
):
    config["matrix"]["dataset"] = config["matrix"].pop("task")
    renamed = json.loads(json.dumps(config).replace("{task", "{dataset"))
    results = collect_results(make_results(renamed))
    assert results.column_names == [*RESULTS.names, "{dataset}"]


def test_both_files_hold_the_same_table(example: Graph, tmp_path: Path):
    results = collect_results(example)
    write_results(results, tmp_path)
    assert pq.read_table(tmp_path / "results.parquet").equals(results)
    from_csv = pd.read_csv(tmp_path / "results.csv")
    pd.testing.assert_frame_equal(from_csv, results.to_pandas(), check_dtype=False)


@pytest.mark.parametrize("folder", ["models/init", "evaluations/plain-mrpc-1/mrpc"])
def test_an_unfinished_artifact_is_an_error(config: dict[str, Any], make_results: Any, folder: str):
    graph = make_results(config)
    (graph.layout.results / folder / SUMS).unlink()
    with pytest.raises(KdpipeError, match=f"{folder} is no finished artifact"):
        collect_results(graph)


@pytest.mark.parametrize("file", ["models/init/config.json", "evaluations/plain-mrpc-1/mrpc/metrics.parquet"])
def test_an_altered_file_is_an_error(config: dict[str, Any], make_results: Any, file: str):
    graph = make_results(config)
    path = graph.layout.results / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(KdpipeError, match=f"{file} is not what its stage wrote"):
        collect_results(graph)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tensors: dict[str, NDArray[Any]] = {
        "weight": np.zeros((3, 4), np.float32),
        "bias": np.zeros(4, np.float16),
        "scale": np.zeros((), np.float32),
    }
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_parameters_are_those_of_all_tensors(model: Path):
    assert saved_parameters(model / "model.safetensors") == 3 * 4 + 4 + 1


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_weights_that_were_cut_off_are_named(model: Path, length: int):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    size = path.stat().st_size
    with pytest.raises(KdpipeError, match=rf"model\.safetensors: expected the size .*, found {size} bytes"):
        saved_parameters(path)


@pytest.mark.parametrize(
    ("config", "depth", "width"),
    [
        ({"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 8}, 2, 8),
        ({"model_type": "distilbert", "n_layers": 3, "dim": 16, "hidden_size": 1}, 3, 16),
        ({"model_type": "unheard-of", "num_hidden_layers": 2}, None, None),
    ],
)
def test_depth_and_width_have_the_names_of_the_family(
    model: Path, config: dict[str, object], depth: int | None, width: int | None
):
    (model / "config.json").write_text(json.dumps(config))
    assert read_size(model) == {"parameters": 17, "depth": depth, "width": width}
