import pytest
from pydantic import TypeAdapter, ValidationError

from kdpipe.config.mistakes import explain
from kdpipe.config.settings.training import OWNED, Training, training_settings

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
        {"learning_rate": "5e-5", "max_steps": "1e3", "lr_scheduler_kwargs": {"min_lr": "1e-6", "x": ["a"]}}
    )
    assert TRAINING.dump_python(training) == {
        "learning_rate": 5e-5,
        "max_steps": 1000,
        "lr_scheduler_kwargs": {"min_lr": 1e-6, "x": ["a"]},
    }


@pytest.mark.parametrize("name", sorted(OWNED))
def test_what_kdpipe_owns_is_refused(name):
    assert name in training_settings().model_fields
    assert mistakes_in(**{name: 1}) == [((name,), f"is set by kdpipe: {OWNED[name]}")]


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


BEST = {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"}


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"num_train_epochs": 0}, "expected a number above 0"),
        ({"per_device_train_batch_size": -1}, "expected a number above 0"),
        ({"bf16": True, "fp16": True}, "one of bf16 and fp16"),
        ({"early_stopping_patience": 2}, "needs `load_best_model_at_end: true`"),
        ({"load_best_model_at_end": True}, "needs `eval_strategy` and `save_strategy`"),
        ({**BEST, "save_strategy": "steps"}, "needs `eval_strategy` and `save_strategy`"),
        (BEST, "needs `metric_for_best_model`"),
        ({"gradient_checkpointing": True}, "not available in this version"),
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
