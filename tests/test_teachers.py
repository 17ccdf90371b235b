"""The library with several teachers: as the stage does, online and cached, and what is wrong."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import kdpipe
from kdpipe.artifacts.sums import write_sums
from kdpipe.errors import KdpipeError
from kdpipe.losses import HardLoss, HiddenMSELoss, KLLoss
from kdpipe.models.loading import load_model, load_tokenizer, save_model
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.stages import distill
from tests.models.conftest import scattered
from tests.stages.conftest import job_for
from tests.test_library import FAST, Curve, folders, rows_of
from tests.tolerance import rounding

__all__ = ["folders"]


def test_several_teachers_teach_as_the_stage_does(folders: Any, tmp_path: Path) -> None:
    first, student, data = folders("task_data")
    second = shutil.copytree(first, tmp_path / "second")
    save_model(scattered(load_model(second)), load_tokenizer(first), second)
    write_sums(second)
    losses = [{"loss": "kl"}, {"loss": "hidden_mse", "layers": "spaced", "teacher": "b"}]
    given = {"teacher": ["a", "b"], "student": "s", "dataset": "d", "losses": losses, "training": FAST}
    wanted = DistillSettings.model_validate({**given, "ensemble": {"weights": [1, 3]}, "seed": 7})
    places = {"teacher": [first, second], "student": student, "data": [data]}
    distill.run(wanted, job_for(tmp_path / "distilled"), **places)

    teachers = {"a": load_model(first), "b": load_model(second)}
    states = kdpipe.Weighted(HiddenMSELoss(), layers="spaced", teacher="b")
    ensemble, rows = kdpipe.Ensemble(weights=[1, 3]), rows_of(data)
    curves, students = [Curve(), Curve()], []
    for curve, cache in zip(curves, (None, "float32"), strict=True):
        options: dict[str, Any] = {
            **FAST,
            "seed": 7,
            "cache": cache,
            "callbacks": [curve],
            "logging_steps": 1,
        }
        learner, terms = load_model(student), [KLLoss(), states]
        students.append(kdpipe.distill(teachers, learner, rows, terms, ensemble=ensemble, **options))
    for name, value in load_model(tmp_path / "distilled").state_dict().items():
        assert torch.equal(value, students[0].state_dict()[name].cpu()), name
    for name in ("loss", "KLLoss", "HiddenMSELoss"):
        values = curves[0].values[name]
        assert len(values) == 6
        assert curves[1].values[name] == pytest.approx(values, rel=rounding(), abs=rounding())


def test_what_does_not_suit_several_teachers_is_told(folders: Any) -> None:
    teacher, learner, data = folders("task_data")
    student, rows = load_model(learner), rows_of(data)
    teachers = {"a": load_model(teacher), "b": load_model(teacher)}
    wrong: list[tuple[Any, Any, str]] = [
        (teachers, HiddenMSELoss(), "HiddenMSELoss: reads one teacher; give `teacher`, one of 'a', 'b'"),
        (teachers, kdpipe.Weighted(KLLoss(), teacher="c"), "KLLoss: no teacher 'c'; there is a, b"),
        (teachers, kdpipe.Weighted(KLLoss(), top_k=1), "KLLoss: reads one teacher"),
        ({**teachers, "c": student}, KLLoss(), "one model twice"),
        ({}, KLLoss(), r"teacher: expected models by their names, found \[\]"),
        ({0: teachers["a"]}, KLLoss(), r"teacher: expected models by their names, found \[0\]"),
        (teachers, kdpipe.Weighted(HardLoss(), teacher="a"), "HardLoss: reads no teacher, found 'a'"),
        (teachers, kdpipe.Weighted(KLLoss(), teacher="a"), "no loss with a weight reads 'b'; leave it out"),
    ]
    for named, loss, message in wrong:
        with pytest.raises(KdpipeError, match=message):
            kdpipe.distill(named, student, rows, [loss], **FAST)


@pytest.mark.parametrize(("ensemble", "loss", "message"), [
    ({"weights": [1]}, KLLoss(), "ensemble: expected 2 weights, one each, found 1"),
    ({"average": "probabilities"}, KLLoss(kdpipe.TemperatureSchedule(4, "cwsm")), "need one temperature"),
])  # fmt: skip
def test_what_does_not_suit_an_ensemble_is_told_before_anything_runs(
    folders: Any, ensemble: Any, loss: Any, message: str
) -> None:
    teacher, learner, data = folders("task_data")
    teachers = {name: load_model(teacher) for name in "ab"}
    for model in teachers.values():
        model.register_forward_hook(lambda *_: pytest.fail("a teacher has run"))
    with pytest.raises(KdpipeError, match=message):
        kdpipe.distill(
            teachers, load_model(learner), rows_of(data), [loss], ensemble=kdpipe.Ensemble(**ensemble), **FAST
        )
