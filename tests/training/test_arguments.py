"""A training runs with all that a config may set; a mistake that no check can see is shown at its start."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.config.settings.training import ARGUMENTS, Training
from kdpipe.config.settings.training_fields import LATER, NOT_SUPPORTED, OWNED
from kdpipe.config.signatures import field_options
from kdpipe.errors import TrainingError
from kdpipe.training.arguments import training_arguments
from kdpipe.training.run import train
from tests.training.conftest import collator, hard, student_of

SCORED = {"eval_strategy": "epoch", "metric_for_best_model": "accuracy"}
# At the limits of what is accepted.
EXTREMES: list[dict[str, Any]] = [
    {"learning_rate": 0, "weight_decay": 1000, "max_grad_norm": 0, "adam_beta1": 0, "adam_beta2": 0},
    {"learning_rate": 1e-300, "adam_epsilon": 1, "adam_beta1": 0.999999, "max_grad_norm": 1e9},
    {"gradient_accumulation_steps": 10**9, "per_device_train_batch_size": 10**9},
    {"num_train_epochs": 1e-9, "max_steps": -1, "warmup_steps": 10**9, "logging_steps": 10**9},
    {"warmup_steps": 0.999, "logging_steps": 1e-9, "torch_empty_cache_steps": 1},
    {"eval_strategy": "steps", "eval_steps": 1e-9, "save_strategy": "steps", "save_steps": 1e-9},
    {"eval_strategy": "steps", "eval_delay": 10**9, "logging_strategy": "no"},
    {**SCORED, "save_strategy": "best", "load_best_model_at_end": True, "early_stopping_patience": 10**9},
    {"full_determinism": True, "dataloader_pin_memory": True, "tf32": False},
    {"dataloader_num_workers": 1, "dataloader_prefetch_factor": 1, "eval_steps": None},
    {"optim": "sgd", "optim_args": "momentum=0.9, nesterov=true", "lr_scheduler_type": "constant"},
    {
        "optim": "rmsprop",
        "optim_args": "centered=true,alpha=0.9",
        "lr_scheduler_type": "constant_with_warmup",
    },
    {"optim": "adagrad", "optim_args": "lr_decay=1e9", "lr_scheduler_type": "inverse_sqrt"},
    {"optim": "adafactor", "lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": 1e9}},
    {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": 0.0, "lr_end": 0.0}},
    {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 10**9}},
    {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1000}},
    {"lr_scheduler_type": "cosine_warmup_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.0}},
    {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 10**9}},
    {**SCORED, "lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 0}},
]


def settings(**given: Any) -> dict[str, Any]:
    """Return settings as a stage gets them."""
    adapter = TypeAdapter(Training)
    return dict(adapter.dump_python(adapter.validate_python(given)))


@pytest.mark.parametrize("given", EXTREMES, ids=lambda given: "-".join(given))
def test_a_training_takes_what_a_check_accepts(
    given: dict[str, Any], classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    wanted = settings(**{"per_device_train_batch_size": 48, "num_train_epochs": 1, "bf16": False, **given})
    student = student_of(classifier)
    outcome = train(
        student,
        hard(),
        collator(task_data),
        wanted,
        seed=5,
        checkpoints=Checkpoints(tmp_path / "state"),
        evaluate=lambda model: {"accuracy": 0.5},
    )
    assert outcome.seen["examples_seen"] == (48 if given.get("num_train_epochs") else 96)


# For each field that a config may set, a value other than the Trainer's default, and fields that it needs.
GIVEN: dict[str, Any] = {
    "per_device_train_batch_size": 3,
    "per_device_eval_batch_size": 3,
    "gradient_accumulation_steps": 2,
    "num_train_epochs": 2.5,
    "max_steps": 7,
    "learning_rate": 1e-3,
    "train_sampling_strategy": "random",
    "lr_scheduler_type": "cosine",
    "lr_scheduler_kwargs": {"num_cycles": 1.5},
    "warmup_steps": 3,
    "optim": "sgd",
    "optim_args": "momentum=0.9",
    "weight_decay": 0.1,
    "adam_beta1": 0.8,
    "adam_beta2": 0.9,
    "adam_epsilon": 1e-6,
    "max_grad_norm": 5.0,
    "torch_empty_cache_steps": 4,
    "logging_steps": 9,
    "logging_strategy": "epoch",
    "logging_first_step": False,
    "eval_strategy": "epoch",
    "eval_steps": 5,
    "eval_delay": 1,
    "save_strategy": "epoch",
    "save_steps": 5,
    "load_best_model_at_end": True,
    "metric_for_best_model": "f1",
    "greater_is_better": False,
    "full_determinism": True,
    "bf16": False,
    "tf32": False,
    "torch_compile": True,
    "dataloader_pin_memory": True,
    "dataloader_num_workers": 2,
    "dataloader_prefetch_factor": 3,
    "report_to": "none",
}
BESIDE: dict[str, dict[str, Any]] = {
    "lr_scheduler_kwargs": {"lr_scheduler_type": "cosine"},
    "optim_args": {"optim": "sgd"},
    "dataloader_prefetch_factor": {"dataloader_num_workers": 2},
    "load_best_model_at_end": {**SCORED, "save_strategy": "epoch"},
}
# What the Trainer says otherwise, or what this machine decides.
NEEDING_A_GPU = {"fp16", "dataloader_pin_memory"}
SAID: dict[str, Any] = {"report_to": []}


def test_there_is_a_value_for_each_field_that_may_be_given() -> None:
    """A field is refused by name, or it is heeded, which the next test shows."""
    refused = {*OWNED, *NOT_SUPPORTED, *LATER}
    assert {*field_options(ARGUMENTS)} - refused == GIVEN.keys() | {"fp16"}


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_given_is_what_the_trainer_goes_by(name: str, tmp_path: Path) -> None:
    if name in NEEDING_A_GPU and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    given = settings(**{"bf16": False, **BESIDE.get(name, {}), name: GIVEN[name]})
    arguments = training_arguments(given, tmp_path, seed=1, steps=10)
    assert getattr(arguments, name) == SAID.get(name, GIVEN[name])


@pytest.mark.parametrize(("metric", "mode"), [("accuracy", "max"), ("eval_accuracy", "max"), ("loss", "min")])
def test_a_plateau_is_one_of_the_metric(metric: str, mode: str, tmp_path: Path) -> None:
    plateau = {"lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 1}}
    given = settings(**plateau, eval_strategy="epoch", metric_for_best_model=metric, bf16=False)
    arguments = training_arguments(given, tmp_path, seed=1, steps=10)
    assert arguments.lr_scheduler_kwargs == {"patience": 1, "mode": mode}
    assert given["lr_scheduler_kwargs"] == {"patience": 1}


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has these")
@pytest.mark.parametrize("name", ["fp16", "tf32"])
def test_what_needs_a_gpu_says_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=rf"training\.{name}: needs a GPU"):
        training_arguments(settings(**{name: True}), tmp_path, seed=1, steps=10)


def test_an_order_that_kdpipe_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match="'sequential' is not supported; there is group_by_length, random"
    ):
        training_arguments({"train_sampling_strategy": "sequential"}, tmp_path, 1, 10)


def test_a_warmup_as_long_as_the_training_is_told_when_its_length_is_known(tmp_path: Path) -> None:
    given = settings(lr_scheduler_type="polynomial", warmup_steps=0.99, bf16=False)
    with pytest.raises(TrainingError, match=r"training\.warmup_steps: expected fewer than the 10 steps"):
        training_arguments(given, tmp_path, seed=1, steps=10)
    training_arguments(given, tmp_path, seed=1, steps=1000)


def test_a_delay_beyond_the_training_is_told_when_its_length_is_known(tmp_path: Path) -> None:
    best = {**SCORED, "eval_strategy": "steps", "eval_steps": 1, "lr_scheduler_type": "reduce_lr_on_plateau"}
    given = settings(**best, eval_delay=50, bf16=False)
    with pytest.raises(TrainingError, match=r"training\.eval_delay: expected at most the 10 steps of the"):
        training_arguments(given, tmp_path, seed=1, steps=10)
    training_arguments(given, tmp_path, seed=1, steps=50)
