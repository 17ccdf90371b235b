"""The best of several models is copied."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import MEASUREMENTS_SCHEMA, METRICS_SCHEMA, write_parquet
from kdpipe.artifacts.sums import read_sums, write_sums
from kdpipe.errors import KdpipeError
from kdpipe.plan.saved.files import WEIGHTS_FILE
from kdpipe.plan.stages.select import SelectSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages.select import run


def candidate(folder: Path, name: str, accuracy: float, size: int = 1) -> tuple[Path, Path]:
    model, evaluation = folder / "models" / name, folder / "evaluations" / name
    for path in (model, evaluation):
        path.mkdir(parents=True)
    (model / "config.json").write_text(name)
    (model / WEIGHTS_FILE).write_bytes(bytes(size))
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


# Accuracy, bytes and seconds of a batch; a lower cross-entropy is better, and here it is the same number.
CANDIDATES = {
    "large": (0.9, 4_000_000, 4.0),
    "middle": (0.89, 2_000_000, 1.0),
    "small": (0.8, 1_000_000, 2.0),
}
REFERENCE = 0.91


def measured(folder: Path, name: str, seconds: float) -> Path:
    """Write times of batches of two shapes, of which one is the other way round."""
    place = folder / "measurements" / name
    place.mkdir(parents=True)
    rows = [
        {"batch": 1, "length": 64, "median_seconds": seconds},
        {"batch": 32, "length": 64, "median_seconds": 10 - seconds},
    ]
    write_parquet(place / "measurements.parquet", rows, MEASUREMENTS_SCHEMA)
    return place


@pytest.fixture
def choose(task_data: Path, tmp_path: Path, workspace: Workspace) -> Callable[..., str]:
    """A function that chooses one of the candidates by some settings, and returns its name."""

    def chosen(**options: Any) -> str:
        settings = SelectSettings(among=tuple(CANDIDATES), dataset="task", **options)
        pairs = [candidate(tmp_path, name, score, size) for name, (score, size, _) in CANDIDATES.items()]
        inputs: dict[str, Any] = {
            "models": [pair[0] for pair in pairs],
            "evaluations": [pair[1] for pair in pairs],
        }
        if settings.enough and settings.enough.of:
            inputs["reference"] = candidate(tmp_path, settings.enough.of, REFERENCE)[1]
        if settings.fastest:
            inputs["measurements"] = [measured(tmp_path, name, each[2]) for name, each in CANDIDATES.items()]
        run(settings, workspace, data=task_data, **inputs)
        return str(read_manifest(workspace.output)["chosen"])

    return chosen


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"smallest": {"within": 0.02, "of": "teacher"}}, "middle"),
        ({"smallest": {"within": 0.01, "of": "teacher"}}, "large"),
        ({"smallest": {"within": 0.01}}, "middle"),
        ({"smallest": {"within": 0}}, "large"),
        ({"smallest": {"within": 1}}, "small"),
        ({"fastest": {"within": 0.09, "length": 64}, "metric": "cross_entropy"}, "middle"),
        ({"fastest": {"within": 0.08, "length": 64}, "metric": "cross_entropy"}, "small"),
        ({"fastest": {"within": 1, "length": 64}}, "middle"),
        ({"fastest": {"within": 1, "length": 64, "batch": 32}}, "large"),
        ({"fastest": {"within": 0.005, "length": 64}}, "large"),
        ({"best": {"at_most": {"megabytes": 2}}}, "middle"),
        ({"best": {"at_most": {"megabytes": 1.99}}}, "small"),
    ],
)
def test_a_constraint_decides(choose: Callable[..., str], options: dict[str, Any], expected: str) -> None:
    assert choose(**options) == expected


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"smallest": {"within": 0.005, "of": "teacher"}},
            "smallest: no candidate is within 0.005 of teacher; the nearest is large, which is 0.0100 worse",
        ),
        (
            {"best": {"at_most": {"megabytes": 0.5}}},
            "best: no candidate has at most 0.5 MB; the nearest is small with 1.00 MB, "
            "which is 0.50 MB too much",
        ),
    ],
)
def test_how_far_the_nearest_is_where_nothing_fits(
    choose: Callable[..., str], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(KdpipeError, match=f"^{told}$"):
        choose(**options)
