import inspect
from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from kdpipe.config.mistakes import explain
from kdpipe.config.settings.base import decisive
from kdpipe.config.settings.learning_rates import SCHEDULES
from kdpipe.config.settings.training import (
    ARGUMENTS,
    Training,
    training_settings,
)
from kdpipe.config.settings.training_fields import (
    CHOICES,
    LATER,
    NOT_SUPPORTED,
    OWNED,
    RANGES,
    STRATEGIES,
    SWITCHES,
    field_type,
)
from kdpipe.config.signatures import field_options
from kdpipe.plan.stages.finetune import FinetuneSettings

TRAINING = TypeAdapter(Training)


def mistakes_in(**settings):
    with pytest.raises(ValidationError) as error:
        TRAINING.validate_python(settings)
    return explain(error.value)


def test_only_what_is_given_is_passed_on():
    training = TRAINING.validate_python({"num_train_epochs": 3, "bf16": True, "save_strategy": False})
    assert TRAINING.dump_python(training) == {"num_train_epochs": 3, "bf16": True, "save_strategy": "no"}
    assert TRAINING.dump_python(TRAINING.validate_python(None)) == {}


def test_numbers_in_exponent_notation_are_read_at_any_depth():
    training = TRAINING.validate_python(
        {
            "learning_rate": "5e-5",
            "max_steps": "1e3",
            "lr_scheduler_type": "cosine_with_min_lr",
            "lr_scheduler_kwargs": {"min_lr": "1e-6"},
        }
    )
    assert TRAINING.dump_python(training) == {
        "learning_rate": 5e-5,
        "max_steps": 1000,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr": 1e-6},
    }


TABLES = (OWNED, NOT_SUPPORTED, LATER, CHOICES, SWITCHES, STRATEGIES, RANGES)


def test_every_field_of_the_installed_class_stands_in_one_table():
    """A field that transformers adds is refused until somebody has tried it and listed it, too."""
    named = [name for table in TABLES for name in table]
    assert len(named) == len(set(named))
    assert set(named) == set(field_options(ARGUMENTS))


def test_a_field_that_nobody_has_tried_is_refused():
    what = "is not supported: nobody has tried it with kdpipe"
    with pytest.raises(ValidationError, match=what):
        TypeAdapter(field_type("added_in_transformers_6", int)).validate_python(1)


@pytest.mark.parametrize("name", sorted(OWNED))
def test_what_kdpipe_owns_is_refused(name):
    assert name in training_settings().model_fields
    assert mistakes_in(**{name: 1}) == [((name,), f"is set by kdpipe: {OWNED[name]}")]


@pytest.mark.parametrize("name", sorted(NOT_SUPPORTED))
def test_what_is_not_supported_is_refused_by_name(name):
    assert mistakes_in(**{name: "x"}) == [((name,), f"is not supported: {NOT_SUPPORTED[name]}")]


@pytest.mark.parametrize(("field", "names"), [(name, names) for name, (names, _) in CHOICES.items()])
def test_of_the_optimizers_and_schedules_of_transformers_some_are_refused(field, names):
    known = get_args(field_options(ARGUMENTS)[field].type)
    assert set(names) < set(known)
    for name in set(known) - set(names):
        ((where, what),) = mistakes_in(**{field: name})
        assert where == (field,)
        assert what.startswith(f"'{name}' is not supported: {CHOICES[field][1]}; there is {names[0]}, ")


@pytest.mark.parametrize("tracker", ["comet_ml", "all", ["tensorboard"], [], None, True])
def test_other_trackers_are_refused(tracker):
    known = "expected none or tensorboard or wandb or mlflow or trackio"
    assert known in mistakes_in(report_to=tracker)[0][1]


def test_a_tracker_decides_nothing():
    found = [
        decisive(FinetuneSettings(model="a", dataset="d", training={"learning_rate": 1, **more}))
        for more in ({}, {"report_to": "none"}, {"report_to": "tensorboard"})
    ]
    assert found[0] == found[1] == found[2]


# The least and the largest that a number may be, and what lies just outside.
LIMITS = {
    "per_device_train_batch_size": ((1, 10**9), (0, -1, 10**9 + 1, 10**30)),
    "per_device_eval_batch_size": ((1, 10**9), (0, -1, 10**30)),
    "gradient_accumulation_steps": ((1, 10**9), (0, -1, 10**30)),
    "num_train_epochs": ((1e-9, 1e6), (0, -1, 1e300)),
    "max_steps": ((-1, 1, 10**9), (0, -2, -5, 10**30)),
    "learning_rate": ((0, 1e-300, 1000), (-1, 1001, 1e300)),
    "warmup_steps": ((0, 0.5, 1, 10**9), (-1, -0.1, 1.5, 1e300)),
    "weight_decay": ((0, 1000), (-1, 1e300)),
    "adam_beta1": ((0, 0.999), (-0.1, 1, 2)),
    "adam_beta2": ((0, 0.999), (-0.1, 1, 2)),
    "adam_epsilon": ((1e-300, 1), (0, -1, 1e300)),
    "max_grad_norm": ((0, 1e9), (-1, 1e300)),
    "torch_empty_cache_steps": ((1, None), (0, -1, 10**30)),
    "logging_steps": ((0.1, 1, 2, 10**9), (0, -1, 1.5, 1e300)),
    "eval_steps": ((0.1, 1, 2, None), (0, -1, 2.5, 1e300)),
    "save_steps": ((0.1, 1, 2), (0, -1, 2.5, 1e300)),
    "eval_delay": ((0, 1.5), (-1, 1e300)),
    "dataloader_num_workers": ((0, 256), (-1, 10**9)),
    "early_stopping_patience": ((), (0, -1, 10**30)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_numbers_lie_in_a_range(name):
    accepted, refused = LIMITS[name]
    for value in accepted:
        TRAINING.validate_python({name: value})
    for value in refused:
        ((where, what),) = mistakes_in(**{name: value})
        assert where == (name,)
        assert "found" in what
        assert len(what) < 160


def test_every_number_has_a_range():
    kinds = {
        name: set(get_args(option.type)) or {option.type} for name, option in field_options(ARGUMENTS).items()
    }
    numbers = {name for name in RANGES if kinds[name] & {int, float}}
    assert numbers <= LIMITS.keys() | {"dataloader_prefetch_factor"}


@pytest.mark.parametrize("name", LIMITS)
def test_a_boolean_is_no_number(name):
    ((where, what),) = mistakes_in(**{name: True})
    assert where == (name,)
    assert what.endswith(", found True")


@pytest.mark.parametrize(("settings", "what"), [
    ({"lr_scheduler_type": "linaer"}, "'linaer' is not known; did you mean 'linear'?"),
    ({"optim": "adamw_trch"}, "'adamw_trch' is not known; did you mean 'adamw_torch'?"),
    ({"eval_strategy": "epochs"}, "'epochs' is not known; did you mean 'epoch'?"),
    ({"lerning_rate": 1}, "unknown key; did you mean 'learning_rate'?"),
    ({"learning_rate": "fast"}, "should be a valid number, found 'fast'"),
    ({"max_steps": 1.5}, "should be a valid integer, got a number with a fractional part, found 1.5"),
    ({"early_stopping_patience": 0}, "should be greater than or equal to 1, found 0"),
])  # fmt: skip
def test_mistakes(settings, what):
    assert mistakes_in(**settings) == [((*settings,), what)]


def test_settings_survive_json():
    training = TRAINING.validate_python({"learning_rate": "5e-5", "lr_scheduler_type": "cosine"})
    assert TRAINING.validate_json(TRAINING.dump_json(training)) == training


MIN_LR = "cosine_with_min_lr"
DECAY = "warmup_stable_decay"
PLATEAU = {"lr_scheduler_type": "reduce_lr_on_plateau"}
BEST = {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"}
STEPS = {
    "load_best_model_at_end": True,
    "eval_strategy": "steps",
    "save_strategy": "steps",
    "metric_for_best_model": "accuracy",
}


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"bf16": True, "fp16": True}, "one of bf16 and fp16"),
        ({"early_stopping_patience": 2}, "needs `load_best_model_at_end: true`"),
        ({"load_best_model_at_end": True}, "needs `eval_strategy` and `save_strategy`"),
        ({**BEST, "save_strategy": "steps"}, "needs `eval_strategy` and `save_strategy`"),
        (BEST, "needs `metric_for_best_model`"),
        ({"gradient_checkpointing": True}, "not available in this version"),
        ({"dataloader_prefetch_factor": 2}, "needs `dataloader_num_workers`"),
        ({"dataloader_prefetch_factor": 0, "dataloader_num_workers": 1}, "greater than or equal to 1"),
        ({"save_strategy": "best"}, "needs `eval_strategy`"),
        ({"save_strategy": "best", "eval_strategy": "epoch"}, "needs `metric_for_best_model`"),
        (PLATEAU, "needs `eval_strategy`"),
        ({**PLATEAU, "eval_strategy": "epoch"}, "needs `metric_for_best_model`"),
        (
            {**STEPS, "save_steps": 5, "eval_steps": 3},
            "expected `eval_steps`, 3, or a multiple of it, found 5",
        ),
        (
            {**STEPS, "save_steps": 3, "eval_steps": 5},
            "expected `eval_steps`, 5, or a multiple of it, found 3",
        ),
        ({**STEPS, "save_steps": 0.3, "eval_steps": 0.1}, "expected `eval_steps`, 0.1, or a multiple"),
        ({**STEPS, "save_steps": 5, "eval_steps": 0.1}, "expected `eval_steps`, 0.1, or a multiple"),
        ({**STEPS, "save_steps": 5}, "needs `eval_steps` and `save_steps`"),
        (STEPS, "needs `eval_steps` and `save_steps`"),
        (
            {**STEPS, "save_steps": 1, "eval_steps": 1, "max_steps": 4, "eval_delay": 5},
            "expected at most the 4 steps of the training, found 5: without an evaluation",
        ),
        (
            {**BEST, "metric_for_best_model": "f1", "num_train_epochs": 2, "eval_delay": 3},
            "expected at most the 2 epochs of the training, found 3",
        ),
        ({"optim_args": "momentum=0.9"}, "is for `optim` adagrad, rmsprop, sgd"),
        ({"optim": "sgd", "optim_args": "momentum"}, "expected `name=value` pairs"),
        ({"optim": "sgd", "optim_args": "momentum=-1"}, "expected `name=value` pairs"),
        ({"optim": "sgd", "optim_args": "momentum=1e300"}, "expected `name=value` pairs"),
        ({"optim": "sgd", "optim_args": "alpha=1"}, "sgd takes momentum, dampening, weight_decay, nesterov"),
        ({"optim": "sgd", "optim_args": "nesterov=true"}, "nesterov needs momentum"),
        ({"optim": "sgd", "optim_args": "momentum=true"}, "expected `name=value` pairs"),
        ({"lr_scheduler_kwargs": "{"}, "should be a valid mapping, found '{'"),
        ({"lr_scheduler_kwargs": {"x": 1}}, "lr_scheduler_kwargs.x\n  unknown key; there is none"),
        (
            {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycle": 1}},
            "did you mean 'num_cycles'",
        ),
        ({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": "1"}}, "found '1'"),
        ({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": True}}, "found True"),
        ({"lr_scheduler_type": MIN_LR}, "expected one of `min_lr` and `min_lr_rate`"),
        (
            {"lr_scheduler_type": MIN_LR, "lr_scheduler_kwargs": {"min_lr": 0.0, "min_lr_rate": 0.1}},
            "expected one of `min_lr` and `min_lr_rate`",
        ),
        (
            {"lr_scheduler_type": MIN_LR, "lr_scheduler_kwargs": {"min_lr": 1e-6}, "learning_rate": 0},
            "expected more than 0",
        ),
        ({"lr_scheduler_type": DECAY}, "lr_scheduler_kwargs.num_decay_steps\n  is required"),
        (
            {"lr_scheduler_type": DECAY, "lr_scheduler_kwargs": {"num_decay_steps": 1, "decay_type": "x"}},
            "'x' is not known",
        ),
        ({"lr_scheduler_type": "inverse_sqrt", "lr_scheduler_kwargs": {"timescale": 0}}, "found 0"),
        ({"lr_scheduler_type": "polynomial", "learning_rate": 1e-7}, "expected more than the 1e-07"),
        ({"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": -1}}, "found -1"),
        (
            {"lr_scheduler_type": "polynomial", "max_steps": 5, "warmup_steps": 5},
            "expected fewer than the 5 steps of the training, found 5",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(given, what):
    with pytest.raises(ValidationError, match=what):
        TRAINING.validate_python(given)


def test_the_best_may_be_kept():
    kept = TRAINING.validate_python(
        {**BEST, "metric_for_best_model": "accuracy", "early_stopping_patience": 2}
    )
    assert kept.model_dump(exclude_unset=True)["early_stopping_patience"] == 2


@pytest.mark.parametrize(("save", "score"), [(6, 3), (3, 3), (1, 1), (0.1, 0.1), (2.0, 1)])
def test_what_is_saved_has_been_scored(save, score):
    TRAINING.validate_python({**STEPS, "save_steps": save, "eval_steps": score})


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_options_of_a_schedule_are_those_of_its_function(schedule):
    from torch.optim.lr_scheduler import ReduceLROnPlateau
    from transformers import optimization

    function = optimization.TYPE_TO_SCHEDULER_FUNCTION[schedule]
    plateau = function is optimization.get_reduce_on_plateau_schedule
    parameters = inspect.signature(ReduceLROnPlateau if plateau else function).parameters
    # The Trainer gives these itself; which way a metric is better is told by the metric.
    given = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch", "mode"}
    assert set(SCHEDULES[schedule].model_fields) == set(parameters) - given


def test_a_delay_may_leave_the_last_evaluation():
    TRAINING.validate_python({**BEST, "metric_for_best_model": "f1", "eval_delay": 3})
    TRAINING.validate_python({"eval_strategy": "epoch", "eval_delay": 50})
    TRAINING.validate_python({**STEPS, "save_steps": 1, "eval_steps": 1, "eval_delay": 50})
