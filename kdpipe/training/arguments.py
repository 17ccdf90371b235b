"""The arguments of training: the user's fields, and the fields that kdpipe sets."""

from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from kdpipe import processes
from kdpipe.anatomy.steps import wrong_delay, wrong_warmup
from kdpipe.data.sampling import STRATEGIES
from kdpipe.errors import TrainingError, quoted, suggest
from kdpipe.metrics import LOWER_IS_BETTER
from kdpipe.models.precision import Precision, choose_precision, set_tf32
from kdpipe.seeds import DROPOUT, draw_seed
from kdpipe.training.hooks import use_one_gpu

LOGS_PER_RUN = 50
# The fields that follow from other arguments, or that no training may change.
SETTLED = {"output_dir", "seed", "disable_tqdm", "logging_nan_inf_filter", "remove_unused_columns", "use_cpu"}
OWN_DEFAULTS = {
    "save_strategy": "no",
    # The Trainer's own checkpoints only keep the best weights. A stopped training goes on from kdpipe's
    # checkpoints.
    "save_only_model": True,
    "save_total_limit": 1,
    "report_to": "none",
    "train_sampling_strategy": STRATEGIES[0],
    "logging_first_step": True,
    "dataloader_pin_memory": False,
}


def training_arguments(
    fields: dict[str, Any], folder: Path | str, seed: int, steps: int, precision: Precision | None = None
) -> TrainingArguments:
    """Return the arguments of a run with so many optimizer steps, from the fields that the user set.

    Without a precision, the fields and the machine decide.
    """
    precision = precision or choose_precision(fields)
    set_tf32(fields.get("tf32"))
    _check_names(fields)
    for name, wrong in (("warmup_steps", wrong_warmup), ("eval_delay", wrong_delay)):
        if fault := wrong(fields, steps):
            raise TrainingError(f"training.{name}: {fault}")
    strategy = fields.get("train_sampling_strategy") or STRATEGIES[0]
    if strategy not in STRATEGIES:
        what = f"{quoted(strategy)} is not supported; {suggest(str(strategy), STRATEGIES)}"
        raise TrainingError(f"training.train_sampling_strategy: {what}")
    # A null field counts as not set.
    fields = {
        name: value
        for name, value in fields.items()
        if value is not None and name != "early_stopping_patience"
    }
    metric = str(fields.get("metric_for_best_model")).removeprefix("eval_")
    larger = fields.get("greater_is_better", metric not in LOWER_IS_BETTER)
    if fields.get("lr_scheduler_type") == "reduce_lr_on_plateau":
        mode = {"mode": "max" if larger else "min"}
        fields["lr_scheduler_kwargs"] = {**fields.get("lr_scheduler_kwargs", {}), **mode}
    settled = {
        **OWN_DEFAULTS,
        "greater_is_better": larger,
        "logging_steps": max(1, steps // LOGS_PER_RUN),
        **fields,
        "bf16": precision.name == "bfloat16",
        "fp16": precision.name == "float16",
        "output_dir": str(folder),
        # With one seed, all processes would drop the same units of their examples.
        "seed": draw_seed(seed, DROPOUT, *([processes.rank()] if processes.rank() else [])),
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,
        "remove_unused_columns": False,
        "use_cpu": not torch.cuda.is_available(),
    }
    try:
        arguments = TrainingArguments(**settled)
    except ValueError as error:
        raise TrainingError(f"training: {' '.join(str(error).split())}") from None
    use_one_gpu(arguments)
    return arguments


def _check_names(fields: dict[str, Any]) -> None:
    known = {field.name for field in fields_of(TrainingArguments)} - SETTLED | {"early_stopping_patience"}
    for name in fields:
        if name not in known:
            raise TrainingError(
                f"training.{name}: expected a field of TrainingArguments that a training may set;"
                f" {suggest(name, known)}"
            )
