"""What losses carry from step to step, and what they tell of themselves, in trainings that are stopped."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.losses.emd import EMDLoss
from kdpipe.losses.kl import KLLoss
from kdpipe.losses.temperature import TemperatureSchedule
from kdpipe.models.loading import load_frozen
from kdpipe.signals.capture import TEACHER, Teacher
from kdpipe.training.objective import Objective, Term
from kdpipe.training.projection import Projection
from kdpipe.training.run import Outcome, train
from kdpipe.training.weights import WeightSchedule
from tests.training.conftest import FAST, HEAD, collator, curve, student_of, weights
from tests.training.test_resumption import Interrupted, KilledError, die

OPTIONS: dict[str, Any] = {**FAST, "max_steps": 6, "logging_steps": 1, "per_device_train_batch_size": 8}
ACCUMULATED = {**OPTIONS, "gradient_accumulation_steps": 2}


def run(
    classifier: Path, data: Path, folder: Path, options: dict[str, Any], after: int = 0
) -> tuple[Any, Objective, Outcome]:
    """Train with `emd`, a temperature for each row and a weight that falls, and die before a batch."""
    blocks = [((1, 2, 3, 4), (1, 2, 3, 4))]
    emd = Term("emd", EMDLoss(), 1.0, "tokens", blocks, Projection(learning_rate=0.01), (16, 16))
    kl = Term("kl", KLLoss(TemperatureSchedule(3, "flsw", beta=50)), WeightSchedule(2, "cosine", end=1))
    objective = Objective([emd, kl], "categorical")
    teacher = Teacher(load_frozen(classifier, HEAD, torch.device("cpu")), objective.teachers[TEACHER])
    student, batches = student_of(classifier, seed=2), collator(data)
    outcome = train(
        student,
        objective,
        Interrupted(batches, after, die) if after else batches,
        options,
        seed=5,
        checkpoints=Checkpoints(folder, interval=0.0),
        teachers={TEACHER: teacher},
    )
    return student, objective, outcome


@pytest.mark.parametrize(("options", "after"), [(OPTIONS, 4), (ACCUMULATED, 8)], ids=["plain", "accumulated"])
def test_a_stopped_training_ends_with_the_weights_of_blocks_of_an_undisturbed_one(
    classifier: Path, task_data: Path, tmp_path: Path, options: dict[str, Any], after: int
) -> None:
    student, objective, outcome = run(classifier, task_data, tmp_path / "undisturbed", options)
    with pytest.raises(KilledError):
        run(classifier, task_data, tmp_path / "killed", options, after)
    again, restored, resumed = run(classifier, task_data, tmp_path / "killed", options)

    assert torch.equal(weights(student), weights(again))
    for (name, value), found in zip(
        objective.state_dict().items(), restored.state_dict().values(), strict=True
    ):
        assert value.equal(found), name
    assert not objective.states["emd"].get_buffer("student").allclose(torch.tensor(0.25))
    assert outcome.history == resumed.history


def test_temperatures_are_logged_at_each_step(classifier: Path, task_data: Path, tmp_path: Path) -> None:
    _, _, outcome = run(classifier, task_data, tmp_path, ACCUMULATED)

    lowest, highest = (curve(outcome, f"{name} temperature of kl") for name in ("lowest", "highest"))
    assert len(lowest) == len(highest) == 6
    assert all(0.1 <= low < 3 < high for low, high in zip(lowest, highest, strict=True))
