"""`training`: the fields of `transformers.TrainingArguments`, except those that kdpipe owns."""

from functools import cache
from typing import Annotated, Any, Self, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from kdpipe.config.settings.base import Settings, Unavailable, read_number
from kdpipe.config.settings.explanation import mistake
from kdpipe.config.signatures import Option, field_options, options_model

ARGUMENTS = "transformers.training_args:TrainingArguments"
OWNED = {
    "output_dir": "kdpipe places outputs by the node's name",
    "seed": "give `seed` beside `training`",
    "data_seed": "give `seed` beside `training`",
    "resume_from_checkpoint": "kdpipe resumes by itself",
    "remove_unused_columns": "kdpipe chooses the columns",
    "train_sampling_strategy": "kdpipe groups batches by length",
    "length_column_name": "kdpipe groups batches by length",
    "label_names": "kdpipe names the labels",
    "push_to_hub": "kdpipe does not push during a run",
    "label_smoothing_factor": "kdpipe computes the loss from loss terms",
    "do_train": "the stage decides",
    "do_eval": "the stage decides",
    "do_predict": "the stage decides",
    "disable_tqdm": "progress bars follow the terminal",
    "local_rank": "the launcher sets it",
}
LATER = ("activation_checkpointing", "gradient_checkpointing", "neftune_noise_alpha")
POSITIVE = (
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "per_device_eval_batch_size",
)


class TrainingBase(Settings):
    """The base of the generated training settings.

    Args:
        early_stopping_patience: evaluations without improvement of `metric_for_best_model` after which
            training stops.
    """

    early_stopping_patience: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        given = self.model_dump(exclude_unset=True)
        for name, value in given.items():
            if name in POSITIVE and value <= 0:
                raise mistake((name,), f"expected a number above 0, found {value}")
        if given.get("bf16") and given.get("fp16"):
            raise mistake(("fp16",), "expected one of bf16 and fp16")
        if self.early_stopping_patience and not given.get("load_best_model_at_end"):
            raise mistake(("early_stopping_patience",), "needs `load_best_model_at_end: true`")
        if given.get("load_best_model_at_end"):
            self._check_best(given)
        return self

    @staticmethod
    def _check_best(given: dict[str, Any]) -> None:
        evaluation, saving = given.get("eval_strategy"), given.get("save_strategy")
        if evaluation not in ("steps", "epoch") or saving not in (evaluation, "best"):
            wanted = "`eval_strategy` and `save_strategy`, both `epoch` or both `steps`"
            raise mistake(("load_best_model_at_end",), f"needs {wanted}")
        if not given.get("metric_for_best_model"):
            raise mistake(("load_best_model_at_end",), "needs `metric_for_best_model`, such as accuracy")


def _owned(reason: str) -> Any:
    def refuse(value: Any) -> Any:
        raise PydanticCustomError("owned", "is set by kdpipe: {reason}", {"reason": reason})

    return Annotated[None, BeforeValidator(refuse)]


def _type_of(name: str, kind: Any) -> Any:
    if name in OWNED:
        return _owned(OWNED[name])
    if name in LATER:
        return Unavailable
    if "no" not in get_args(kind):
        return kind
    # YAML 1.1 makes false of a bare `no`.
    return Annotated[kind, BeforeValidator(lambda value: "no" if value is False else value)]


@cache
def training_settings() -> type[TrainingBase]:
    """Return the settings model with the fields of the installed `TrainingArguments`."""
    options = {
        name: Option(_type_of(name, option.type), None) for name, option in field_options(ARGUMENTS).items()
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


def count_steps(given: dict[str, Any], examples: int) -> int:
    """Return the optimizer steps of a run over some number of examples."""
    if given.get("max_steps", -1) > 0:
        return int(given["max_steps"])
    return int(-(-examples // examples_of_step(given)) * given.get("num_train_epochs", 3))


def examples_of_step(given: dict[str, Any]) -> int:
    """Return the examples that an optimizer step learns from."""
    return int(given.get("per_device_train_batch_size", 8) * given.get("gradient_accumulation_steps", 1))
