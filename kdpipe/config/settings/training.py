"""`training`: the fields of `transformers.TrainingArguments`, except the fields that kdpipe owns."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, model_validator

from kdpipe.anatomy.steps import goes_by_evaluations, wrong_delay, wrong_warmup
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.base import Settings, read_number
from kdpipe.config.settings.bounds import MANY
from kdpipe.config.settings.explanation import mistake, mistakes_below
from kdpipe.config.settings.learning_rates import SCHEDULES, CosineToLeast, Polynomial
from kdpipe.config.settings.training_fields import field_type
from kdpipe.config.signatures import Option, field_options, options_model

ARGUMENTS = "transformers.training_args:TrainingArguments"
# The defaults of the Trainer.
LEARNING_RATE, SCHEDULE = 5e-5, "linear"
# Options of optimizers in `optim_args`: numbers from 0, and switches.
OPTIONS = {
    "adagrad": ("lr_decay", "weight_decay", "eps"),
    "rmsprop": ("momentum", "alpha", "eps", "weight_decay", "centered"),
    "sgd": ("momentum", "dampening", "weight_decay", "nesterov"),
}
OPTION = re.compile(
    r"(nesterov|centered)=(true|false)|(?!nesterov|centered)\w+=\d+(\.\d*)?([eE][-+]?\d{1,2})?"
)


class TrainingBase(Settings):
    """A training: the fields of `transformers.TrainingArguments`, and a field of kdpipe.

    Args:
        early_stopping_patience: evaluations without improvement of `metric_for_best_model` after which
            training stops.
    """

    # What other trainers call fields.
    meant: ClassVar[Mapping[str, str]] = {
        "batch_size": "per_device_train_batch_size",
        "epochs": "num_train_epochs",
        "lr": "learning_rate",
        "steps": "max_steps",
        "warmup": "warmup_steps",
    }
    early_stopping_patience: int | None = Field(default=None, ge=1, le=MANY)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        settings = self.model_dump(exclude_unset=True)
        for where, what in (*_pairs(settings), *_evaluation(settings), *_optimizer(settings)):
            raise mistake(where, what)
        _check_schedule(settings)
        return self


def _pairs(settings: Mapping[str, Any]) -> Findings:
    if settings.get("bf16") and settings.get("fp16"):
        yield ("fp16",), "expected one of bf16 and fp16"
    if settings.get("dataloader_prefetch_factor") and not settings.get("dataloader_num_workers"):
        yield ("dataloader_prefetch_factor",), "needs `dataloader_num_workers`"


def _evaluation(settings: Mapping[str, Any]) -> Findings:
    """Yield the fields that need evaluations, each with what it misses."""
    best = settings.get("load_best_model_at_end")
    if settings.get("early_stopping_patience") and not best:
        yield ("early_stopping_patience",), "needs `load_best_model_at_end: true`"
    evaluation, saving = settings.get("eval_strategy"), settings.get("save_strategy")
    if best and (evaluation not in ("steps", "epoch") or saving not in (evaluation, "best")):
        wanted = "`eval_strategy` and `save_strategy`, both `epoch` or both `steps`"
        yield ("load_best_model_at_end",), f"needs {wanted}"
    if best and saving == "steps":
        yield from _saved_where_scored(settings)
    for name in goes_by_evaluations(settings):
        if evaluation not in ("steps", "epoch"):
            yield (name,), "needs `eval_strategy`, `epoch` or `steps`"
        if not settings.get("metric_for_best_model"):
            yield (name,), "needs `metric_for_best_model`, such as accuracy"
    if what := wrong_delay(settings, settings.get("max_steps", -1)):
        yield ("eval_delay",), what


def _saved_where_scored(settings: Mapping[str, Any]) -> Findings:
    saves, scores = settings.get("save_steps"), settings.get("eval_steps")
    if saves is None or scores is None:
        yield ("load_best_model_at_end",), "needs `eval_steps` and `save_steps`"
    elif saves != scores and (min(saves, scores) < 1 or saves % scores):
        what = f"expected `eval_steps`, {scores:g}, or a multiple of it, found {saves:g}"
        yield ("save_steps",), f"{what}: only a saved model can be the best"


def _optimizer(settings: Mapping[str, Any]) -> Findings:
    """Yield what is wrong with `optim_args`, such as `momentum=0.9, nesterov=true`."""
    if not settings.get("optim_args"):
        return
    options = OPTIONS.get(settings.get("optim", ""), ())
    if not options:
        yield ("optim_args",), f"is for `optim` {', '.join(OPTIONS)}"
        return
    values = {}
    for text in settings["optim_args"].replace(" ", "").split(","):
        name, _, values[name] = text.partition("=")
        if name not in options or not OPTION.fullmatch(text):
            what = "expected `name=value` pairs with commas between, and numbers or true or false as values"
            yield ("optim_args",), f"{what}; {settings['optim']} takes {', '.join(options)}"
            return
    steady = float(values.get("momentum", 0)) > 0 and float(values.get("dampening", 0)) == 0
    if values.get("nesterov") == "true" and not steady:
        yield ("optim_args",), "nesterov needs momentum and no dampening"


def _check_schedule(settings: Mapping[str, Any]) -> None:
    """Check the options of the schedule, and the learning rate that it needs."""
    schedule = SCHEDULES[settings.get("lr_scheduler_type", SCHEDULE)]
    try:
        options = schedule.model_validate(settings.get("lr_scheduler_kwargs") or {})
    except ValidationError as error:
        raise mistakes_below(("lr_scheduler_kwargs",), error) from None
    rate = settings.get("learning_rate", LEARNING_RATE)
    if isinstance(options, Polynomial) and rate <= options.lr_end:
        what = f"expected more than the {options.lr_end:g} that it ends with (`lr_end`), found {rate:g}"
        raise mistake(("learning_rate",), what)
    if isinstance(options, CosineToLeast) and not rate and options.min_lr is not None:
        raise mistake(("learning_rate",), "expected more than 0, which `min_lr` is a share of")
    what = wrong_warmup(settings, settings.get("max_steps", -1))
    if what:
        raise mistake(("warmup_steps",), what)


@cache
def training_settings() -> type[TrainingBase]:
    """Return the settings model with the fields of the installed `TrainingArguments`."""
    options = {
        name: Option(field_type(name, option.type), None) for name, option in field_options(ARGUMENTS).items()
    }
    return options_model("TrainingSettings", TrainingBase, options)


def _validate(value: Any) -> Any:
    if isinstance(value, TrainingBase):
        return value
    return training_settings().model_validate(_read_numbers(value or {}))


def _read_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _read_numbers(item) for key, item in value.items()}
    return read_number(value)


Training = Annotated[
    TrainingBase,
    BeforeValidator(_validate),
    PlainSerializer(lambda training: training.model_dump(exclude_unset=True), return_type=dict),
]
