"""The measurements of a model on batches of each shape."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import MEASUREMENTS_SCHEMA, read_parquet
from kdpipe.artifacts.sums import verify
from kdpipe.config.settings.measure import LatencySettings
from kdpipe.errors import ModelError
from kdpipe.evaluation import latency
from kdpipe.models.loading import load_tokenizer, load_with_head
from kdpipe.models.multitask import save_parts
from kdpipe.plan.saved.files import WEIGHTS_FILE
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.measure import run
from tests.conftest import CLASSIFICATION, QUESTION_ANSWERING

MEASUREMENTS = "measurements.parquet"


@pytest.fixture(autouse=True)
def _few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "WARMUP_SECONDS", 0)
    monkeypatch.setattr(latency, "MOST", 1)


def settings(**given: Any) -> LatencySettings:
    return LatencySettings.model_validate({"batch": [2, 1], "length": [8, 4], **given})


def test_a_row_for_each_shape(classifier: Path, workspace: Workspace) -> None:
    run(settings(threads=2), workspace, model=classifier)
    verify(workspace.output)
    assert pq.read_schema(workspace.output / MEASUREMENTS).equals(MEASUREMENTS_SCHEMA)
    rows = read_parquet(workspace.output / MEASUREMENTS)
    shapes = [(row["batch"], row["length"]) for row in rows]
    assert {*shapes} == {(1, 4), (1, 8), (2, 4), (2, 8)}
    assert shapes == sorted(shapes, key=lambda shape: shape[0] * shape[1])
    for row in rows:
        assert (row["format"], row["threads"], row["warmup"], row["repeats"]) == ("torch", 2, 3, 20)
        assert 0 < row["median_seconds"] <= row["p95_seconds"]
        assert row["bytes"] == (classifier / WEIGHTS_FILE).stat().st_size < row["peak_bytes"]
    assert "head" not in read_manifest(workspace.output)


def test_of_several_heads_the_first_runs(language_model: Path, tmp_path: Path, workspace: Workspace) -> None:
    heads = {"tags": QUESTION_ANSWERING, "films": CLASSIFICATION}
    parts = {name: load_with_head(language_model, head, seed=1) for name, head in heads.items()}
    save_parts(parts, load_tokenizer(language_model), tmp_path / "model")
    run(settings(batch=[1], length=[4]), workspace, model=tmp_path / "model")
    [row] = read_parquet(workspace.output / MEASUREMENTS)
    assert read_manifest(workspace.output)["head"] == "films"
    assert row["bytes"] == (tmp_path / "model/heads/films" / WEIGHTS_FILE).stat().st_size


def test_a_length_that_only_the_files_of_the_model_rule_out(classifier: Path, workspace: Workspace) -> None:
    with pytest.raises(ModelError, match="expected at most 64 tokens, which the model reads, found 65"):
        run(settings(length=[4, 65]), workspace, model=classifier)
    assert not workspace.output.exists()
