"""The best of several models is copied."""

from pathlib import Path

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import METRICS_SCHEMA, write_parquet
from kdpipe.artifacts.sums import read_sums, write_sums
from kdpipe.errors import KdpipeError
from kdpipe.plan.stages.select import SelectSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.select import run


def candidate(folder: Path, name: str, accuracy: float) -> tuple[Path, Path]:
    model, evaluation = folder / "models" / name, folder / "evaluations" / name
    for path in (model, evaluation):
        path.mkdir(parents=True)
    (model / "config.json").write_text(name)
    rows = [
        {"metric": "accuracy", "value": accuracy, "split": "validation", "n": 10},
        {"metric": "cross_entropy", "value": accuracy, "split": "validation", "n": 10},
        {"metric": "accuracy", "value": 1 - accuracy, "split": "test", "n": 10},
    ]
    write_parquet(evaluation / "metrics.parquet", rows, METRICS_SCHEMA)
    write_sums(model)
    return model, evaluation


@pytest.mark.parametrize(
    ("options", "chosen"),
    [({}, "b"), ({"split": "test"}, "a"), ({"metric": "cross_entropy"}, "a")],
)
def test_the_best_is_copied(
    task_data: Path, tmp_path: Path, workspace: Workspace, options, chosen: str
) -> None:
    scores = {"a": 0.5, "b": 0.75, "c": 0.75}
    models, evaluations = zip(
        *(candidate(tmp_path, name, value) for name, value in scores.items()), strict=True
    )
    settings = SelectSettings(among=tuple(scores), dataset="task", **options)
    run(settings, workspace, models=list(models), evaluations=list(evaluations), data=task_data)
    assert read_sums(workspace.output) == read_sums(tmp_path / "models" / chosen)
    assert read_manifest(workspace.output)["chosen"] == chosen


def test_a_metric_that_was_not_measured_is_named(
    task_data: Path, tmp_path: Path, workspace: Workspace
) -> None:
    model, evaluation = candidate(tmp_path, "a", 0.5)
    settings = SelectSettings(among=("a",), dataset="task", metric="acuracy")
    with pytest.raises(KdpipeError, match="did you mean 'accuracy'"):
        run(settings, workspace, models=[model], evaluations=[evaluation], data=task_data)


def test_a_split_without_labels_decides_nothing(
    task_data: Path, tmp_path: Path, workspace: Workspace
) -> None:
    model, evaluation = candidate(tmp_path, "a", 0.5)
    settings = SelectSettings(among=("a",), dataset="task", split="hard")
    with pytest.raises(KdpipeError, match=r"no scores on split 'hard': .* has no labels; there is test, val"):
        run(settings, workspace, models=[model], evaluations=[evaluation], data=task_data)
