"""A model with int8 weights, by its settings."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.artifacts.parquet import read_parquet
from kdpipe.errors import DataError, ModelError
from kdpipe.evaluation.scoring import head_of
from kdpipe.models.int8 import Int8Linear, int8_layers, quantizable
from kdpipe.models.loading import load_model, load_tokenizer, load_with_head, save_model
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.evaluate import EvaluateSettings
from kdpipe.plan.stages.quantize import QuantizeSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.stages import distill, evaluate, quantize
from tests.models.conftest import scattered
from tests.stages.conftest import job_for


@pytest.fixture
def model(language_model: Path, task_data: Path, tmp_path: Path) -> Path:
    """A classifier whose weights are all different."""
    folder = tmp_path / "model"
    folder.mkdir()
    made = scattered(load_with_head(language_model, head_of(task_data), 1))
    save_model(made, load_tokenizer(language_model), folder)
    return folder


def quantized(model: Path, data: Path | None, workspace: Workspace, **given: Any) -> Any:
    """Quantize a model, and return it loaded."""
    settings = QuantizeSettings.model_validate({"model": "m", **given})
    scoring = EvaluateSettings(metrics=("accuracy",))
    quantize.run(settings, scoring, workspace, model=model, data=data)
    return load_model(workspace.output)


def test_all_layers_have_int8_weights(model: Path, task_data: Path, workspace: Workspace) -> None:
    made = quantized(model, task_data, workspace, tolerance=1)
    assert int8_layers(made) == quantizable(load_model(model))
    assert made.classifier.input_scale is None
    assert made.classifier.weight_scale.shape == (2, 1)
    facts = read_manifest(workspace.output)
    assert facts["kept"] == []
    assert 0 <= facts["score_before"] <= 1
    assert 0 <= facts["score_after"] <= 1


def test_without_a_tolerance_nothing_is_read(model: Path, workspace: Workspace) -> None:
    made = quantized(model, None, workspace, tolerance=None, per_channel=False)
    assert made.classifier.weight_scale.shape == (1, 1)
    assert read_manifest(workspace.output)["score_before"] is None


def test_static_scales_are_measured(model: Path, task_data: Path, workspace: Workspace) -> None:
    made = quantized(model, task_data, workspace, tolerance=None, method="static", calibration={"rows": 20})
    scales = [layer.input_scale for layer in made.modules() if isinstance(layer, Int8Linear)]
    assert len(scales) > 5
    assert all(0 < float(scale) < 10 for scale in scales)
    assert len({float(scale) for scale in scales}) > 3


def test_layers_stay_in_float_and_are_named(
    language_model: Path,
    task_data: Path,
    tmp_path: Path,
    workspace: Workspace,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = load_with_head(language_model, head_of(task_data), 1)
    before = tmp_path / "model"
    before.mkdir()
    with torch.no_grad():
        # The bias decides, unless the rounding of a weight that no other weight is as large as decides.
        model.classifier.weight.mul_(1e-3)
        model.classifier.weight[0, 0] = 5e3
        model.classifier.bias.zero_()
    save_model(scattered(model), load_tokenizer(language_model), before)
    expected = evaluate_accuracy(before, task_data, tmp_path / "scores")
    found = quantized(before, task_data, workspace, tolerance=0.0)
    facts = read_manifest(workspace.output)
    assert facts["score_before"] == pytest.approx(expected)
    assert facts["score_after"] >= facts["score_before"] - 1e-9
    kept = {*quantizable(load_model(before))} - {*int8_layers(found)}
    assert {*facts["kept"]} == kept
    assert {line.partition(" stays")[0] for line in caplog.messages if " stays in float" in line} == kept


def evaluate_accuracy(model: Path, data: Path, folder: Path) -> float:
    evaluate.run(EvaluateSettings(metrics=("accuracy",)), job_for(folder), model=model, data=data)
    rows = read_parquet(folder / "metrics.parquet")
    values = {(row["split"], row["metric"]): float(row["value"]) for row in rows}
    return values["validation", "accuracy"]


def test_a_score_needs_a_validation_split(model: Path, text_data: Path, workspace: Workspace) -> None:
    with pytest.raises((DataError, ModelError)):
        quantized(model, text_data, workspace)


def test_a_student_learns_with_simulated_int8(model: Path, task_data: Path, tmp_path: Path) -> None:
    students = {}
    cases: dict[str, dict[str, Any]] = {"float": {}, "int8": {"quantize": {}}}
    for name, options in cases.items():
        settings = DistillSettings.model_validate({
            "teacher": "t",
            "student": "s",
            "dataset": "d",
            "losses": [{"loss": "kl"}, {"loss": "hidden_mse", "layers": "last"}],
            "training": {"max_steps": 3, "learning_rate": 1e-2, "bf16": False},
            **options,
        })  # fmt: skip
        job = job_for(tmp_path / name)
        distill.run(settings, job, student=model, teacher=[model], data=[task_data])
        students[name] = load_model(tmp_path / name)
    assert int8_layers(students["float"]) == []
    assert int8_layers(students["int8"]) == quantizable(students["float"])
    first = {name: read_parquet(tmp_path / name / "history.parquet")[0]["value"] for name in students}
    assert first["int8"] == pytest.approx(first["float"], rel=0.1)
    assert first["int8"] != first["float"]


def test_an_int8_model_is_not_trained(model: Path, task_data: Path, workspace: Workspace) -> None:
    quantized(model, None, workspace, tolerance=None)
    settings = DistillSettings.model_validate(
        {"teacher": "t", "student": "s", "dataset": "d", "losses": [{"loss": "kl"}]}
    )
    with pytest.raises(ModelError, match="has int8 weights, and can only be run"):
        distill.run(
            settings,
            job_for(workspace.output.parent / "student"),
            student=workspace.output,
            teacher=[model],
            data=[task_data],
        )
