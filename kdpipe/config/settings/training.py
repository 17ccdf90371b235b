"""`training`: the fields of `transformers.TrainingArguments`, except those that kdpipe owns."""

from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from kdpipe.config.settings.base import Settings, read_number
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


class TrainingBase(Settings):
    """The base of the generated training settings.

    Args:
        early_stopping_patience: evaluations without improvement of `metric_for_best_model` after which
            training stops.
    """

    early_stopping_patience: int | None = Field(default=None, ge=1)


def _owned(reason: str) -> Any:
    def refuse(value: Any) -> Any:
        raise PydanticCustomError("owned", "is set by kdpipe: {reason}", {"reason": reason})

    return Annotated[None, BeforeValidator(refuse)]


@cache
def training_settings() -> type[TrainingBase]:
    """Return the settings model with the fields of the installed `TrainingArguments`."""
    options = {
        name: Option(_owned(OWNED[name]) if name in OWNED else option.type, None)
        for name, option in field_options(ARGUMENTS).items()
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
