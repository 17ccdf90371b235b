"""A step waits for no number of the device: numbers are read when they are logged."""

import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainerCallback

from kdpipe.adapters.training import losses_of
from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.config.settings.losses import term_settings
from kdpipe.evaluation.tasks.classification import Classification
from kdpipe.models.loading import load_frozen
from kdpipe.signals.capture import TEACHER, Teacher
from kdpipe.training.run import train
from kdpipe.training.terms import build_objective
from tests.training.conftest import FAST, HEAD, collator, student_of

# Operators whose result the program reads, or whose result's size depends on values.
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2")
LAYERS = {"layers": [[2, 1], [4, 4]]}
TERMS: list[dict[str, Any]] = [
    {"loss": "hard", "weight": {"value": 1, "schedule": "linear"}},
    {
        "loss": "soft_cross_entropy",
        "temperature": {"value": 4, "schedule": "flsw"},
        "probability_shift": True,
    },
    {"loss": "jsd", "temperature": {"value": 4, "schedule": "cwsm"}},
    *({"loss": loss, **LAYERS} for loss in ("hidden_mse", "mmd", "gram", "pkd", "cosine", "relation")),
    *({"loss": loss, **LAYERS} for loss in ("attention_mse", "attention_ce")),
]


def is_excepted() -> bool:
    """Tell whether transformers looks for padding, or word embeddings on a CPU for tokens of other data."""
    files = ("masking_utils.py", "training/embeddings.py")
    return any(frame.filename.endswith(files) for frame in traceback.extract_stack())


class Waits(TorchDispatchMode):
    """Counts the operators of each step that wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.counts = Counter[int]()

    def counting(self, method: Any) -> Any:
        """Return a method of tensors that is counted when it is called."""

        def called(tensor: torch.Tensor, *arguments: Any, **options: Any) -> Any:
            self.counts[self.step] += 1
            return method(tensor, *arguments, **options)

        return called

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operator.overloadpacket.__name__ in WAITING and not is_excepted():
            self.counts[self.step] += 1
        return operator(*args, **(kwargs or {}))


class Steps(TrainerCallback):
    def __init__(self, waits: Waits) -> None:
        self.waits = waits

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.waits.step = state.global_step


def test_numbers_are_read_when_they_are_logged(
    classifier: Path, task_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = losses_of([term_settings(term["loss"]).model_validate(term) for term in TERMS])
    objective = build_objective(losses, Classification, {"teacher": (4, 16)}, (4, 16), seed=1)
    teacher = Teacher(load_frozen(classifier, HEAD, torch.device("cpu")), objective.teachers[TEACHER])
    options = {**FAST, "max_steps": 9, "logging_steps": 4, "per_device_train_batch_size": 8}
    waits = Waits()
    for name in ("tolist", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, waits.counting(getattr(torch.Tensor, name)))
    monkeypatch.setattr("kdpipe.training.run.ProgressBar", lambda bar: Steps(waits))
    with waits:
        train(
            student_of(classifier, seed=2),
            objective,
            collator(task_data),
            options,
            seed=5,
            checkpoints=Checkpoints(tmp_path),
            teachers={TEACHER: teacher},
            bar=object(),
        )
    # In the first step and after the last step, there is more to prepare and to check.
    within = {step: waits.counts[step] for step in range(2, 8)}
    # The Trainer reads the loss and the norm of the gradient; kdpipe reads all terms at once.
    assert within == {2: 0, 3: 0, 4: 3, 5: 0, 6: 0, 7: 0}
