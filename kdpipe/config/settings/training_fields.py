"""The fields of `transformers.TrainingArguments`, each with its range or the reason why it is refused.

A field in no table here, such as a field of a newer transformers, is refused until somebody has tried it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from kdpipe.catalog import TRACKERS
from kdpipe.config.settings.base import Unavailable, refuse, refused
from kdpipe.config.settings.bounds import MANY, Count, LearningRate, Steps, whole_or_share
from kdpipe.config.settings.learning_rates import SCHEDULES


def _by_field(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: reason for reason, names in fields.items() for name in names.split()}


OWNED = _by_field(
    {
        "kdpipe places outputs by the node's name": "output_dir",
        "give `seed` beside `training`": "seed data_seed",
        "kdpipe chooses the columns": "remove_unused_columns",
        "kdpipe knows the lengths": "length_column_name",
        "kdpipe names the labels": "label_names",
        "kdpipe computes the loss from loss terms": "label_smoothing_factor",
        "the stage decides": "do_train do_eval do_predict",
        "progress bars follow the terminal": "disable_tqdm",
        "the launcher sets it": "local_rank",
        "a GPU is used where there is one; `CUDA_VISIBLE_DEVICES=` hides it": "use_cpu",
        "models are trained without a cache of keys and values": "use_cache",
        "kdpipe counts tokens, over all processes": "average_tokens_across_devices "
        "include_num_input_tokens_seen",
        "a loss that is not finite ends the training": "logging_nan_inf_filter",
        "kdpipe writes its own log": "log_level log_level_replica",
        "kdpipe resumes by itself": "resume_from_checkpoint ignore_data_skip save_only_model "
        "save_total_limit restore_callback_states_from_checkpoint enable_jit_checkpoint",
        "kdpipe does not push during a run": "push_to_hub hub_token hub_private_repo hub_model_id "
        "hub_strategy hub_always_push hub_revision",
        "kdpipe scores models itself": "prediction_loss_only eval_do_concat_batches eval_use_gather_object "
        "eval_accumulation_steps include_for_metrics batch_eval_metrics bf16_full_eval fp16_full_eval",
        "kdpipe starts the processes and joins them": "ddp_backend ddp_timeout ddp_find_unused_parameters "
        "ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph",
    }
)
NOT_SUPPORTED = _by_field(
    {
        "a run of a tracker has the name of its model": "run_name project",
        "a tracker keeps its files beside the results": "trackio_space_id trackio_bucket_id "
        "trackio_static_space_id",
        "each process trains a whole model": "fsdp fsdp_config deepspeed parallelism_config "
        "accelerator_config",
        "a training runs on one machine": "log_on_each_node save_on_each_node",
        "`torch_compile: true` compiles in the only way that was tried": "torch_compile_backend "
        "torch_compile_mode",
        "its kernels are for models of other families": "use_liger_kernel liger_kernel_config",
        "it is for optimizers that need other packages": "optim_target_modules",
        "the batch would depend on the memory of the machine": "auto_find_batch_size",
        "a training that is resumed would repeat it; score the model that it starts from": "eval_on_start",
        "every example is learned from": "dataloader_drop_last",
        "batches come in the order of the seed": "dataloader_in_order",
        "workers learn of each epoch as they start": "dataloader_persistent_workers",
        "workers are forked": "dataloader_multiprocessing_context",
        "it is for developers of transformers": "debug",
        "the results would depend on the memory of the machine": "skip_memory_metrics",
    }
)
LATER = (
    "activation_checkpointing",
    "activation_checkpointing_kwargs",
    "gradient_checkpointing",
    "gradient_checkpointing_kwargs",
    "neftune_noise_alpha",
)
SWITCHES = (
    "bf16",
    "fp16",
    "tf32",
    "torch_compile",
    "logging_first_step",
    "load_best_model_at_end",
    "full_determinism",
    "dataloader_pin_memory",
)
STRATEGIES = ("logging_strategy", "eval_strategy", "save_strategy")
# The accepted names among the names that a field takes in transformers, and why the others are refused.
CHOICES = {
    "optim": (
        ("adamw_torch", "adamw_torch_fused", "adafactor", "adagrad", "rmsprop", "sgd"),
        "it needs a package that kdpipe does not install",
    ),
    "lr_scheduler_type": (tuple(SCHEDULES), "nobody has tried it with kdpipe"),
}


OTHER_TRACKERS = refuse(
    f"expected none or {' or '.join(TRACKERS)}, found {{}}", lambda value: value not in ("none", *TRACKERS)
)
NO_STEPS = refuse(
    "expected at least 1, or -1 to go by `num_train_epochs`, found {}",
    lambda value: value < 1 and value != -1,
)
RANGES: Mapping[str, Any] = {
    "per_device_train_batch_size": Count,
    "per_device_eval_batch_size": Count,
    "gradient_accumulation_steps": Count,
    "num_train_epochs": Annotated[float, Field(gt=0, le=10**6)],
    "max_steps": Annotated[int, Field(le=MANY), AfterValidator(NO_STEPS)],
    "learning_rate": LearningRate,
    "lr_scheduler_kwargs": dict[str, Any] | None,
    "warmup_steps": Annotated[float, Field(ge=0, le=MANY), AfterValidator(whole_or_share)],
    "optim_args": str | None,
    "weight_decay": Annotated[float, Field(ge=0, le=1000)],
    "adam_beta1": Annotated[float, Field(ge=0, lt=1)],
    "adam_beta2": Annotated[float, Field(ge=0, lt=1)],
    "adam_epsilon": Annotated[float, Field(gt=0, le=1)],
    "max_grad_norm": Annotated[float, Field(ge=0, le=MANY)],
    "torch_empty_cache_steps": Count | None,
    "logging_steps": Steps,
    "report_to": Annotated[Literal["none", *TRACKERS], BeforeValidator(OTHER_TRACKERS)],
    "eval_steps": Steps | None,
    "eval_delay": Annotated[float, Field(ge=0, le=MANY)],
    "save_steps": Steps,
    "greater_is_better": bool,
    "metric_for_best_model": Annotated[str, Field(min_length=1)] | None,
    "dataloader_num_workers": Annotated[int, Field(ge=0, le=256)],
    "dataloader_prefetch_factor": Annotated[int, Field(ge=1, le=1000)] | None,
    "train_sampling_strategy": Literal["group_by_length", "random"],
}


def field_type(name: str, kind: Any) -> Any:
    """Return the type of a field's value, from its name and its type in transformers."""
    if name in OWNED:
        return refused(f"is set by kdpipe: {OWNED[name]}")
    if name in LATER:
        return Unavailable
    if name in CHOICES:
        names, reason = CHOICES[name]
        others = set(get_args(kind)) - set(names)
        refusal = f"{{}} is not supported: {reason}; there is {', '.join(names)}"
        validator = refuse(refusal, lambda value: isinstance(value, str) and value in others)
        return Annotated[Literal[names], BeforeValidator(validator)]
    if name in SWITCHES:
        return kind
    if name in STRATEGIES:
        # YAML 1.1 makes false of a bare `no`.
        return Annotated[kind, BeforeValidator(lambda value: "no" if value is False else value)]
    reason = NOT_SUPPORTED.get(name, "nobody has tried it with kdpipe")
    return RANGES.get(name) or refused(f"is not supported: {reason}")
