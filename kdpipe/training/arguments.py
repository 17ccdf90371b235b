"""The arguments of training: what the user gave, and what kdpipe decides."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from kdpipe import processes
from kdpipe.config.settings.training import wrong_delay, wrong_warmup
from kdpipe.errors import TrainingError
from kdpipe.metrics import LOWER_IS_BETTER
from kdpipe.models.precision import Precision, choose_precision, set_tf32
from kdpipe.seeds import DROPOUT, draw_seed
from kdpipe.training.hooks import use_one_gpu

LOGS_PER_RUN = 50
OWN_DEFAULTS = {
    "save_strategy": "no",
    # The Trainer's own checkpoints are for the best weights alone; a training that was stopped goes on from
    # those that kdpipe writes.
    "save_only_model": True,
    "save_total_limit": 1,
    "report_to": "none",
    "logging_first_step": True,
    "dataloader_pin_memory": False,
}


def training_arguments(
    given: dict[str, Any], folder: Path, seed: int, steps: int, precision: Precision | None = None
) -> TrainingArguments:
    """Return the arguments of a run.

    Args:
        given: fields of `TrainingArguments` that the user set.
        folder: where checkpoints go.
        seed: seed of the run.
        steps: optimizer steps of the run, which decide how often it logs.
        precision: what matrices are multiplied in; by default the arguments and the machine decide.

    Raises:
        TrainingError: the processor, or the number of steps, does not allow what was set.
    """
    precision = precision or choose_precision(given)
    set_tf32(given.get("tf32"))
    for name, wrong in (("warmup_steps", wrong_warmup), ("eval_delay", wrong_delay)):
        if what := wrong(given, steps):
            raise TrainingError(f"training.{name}: {what}")
    # What is null is as if it had not been given.
    given = {
        name: value
        for name, value in given.items()
        if value is not None and name != "early_stopping_patience"
    }
    metric = str(given.get("metric_for_best_model")).removeprefix("eval_")
    larger = given.get("greater_is_better", metric not in LOWER_IS_BETTER)
    if given.get("lr_scheduler_type") == "reduce_lr_on_plateau":
        mode = {"mode": "max" if larger else "min"}
        given["lr_scheduler_kwargs"] = {**given.get("lr_scheduler_kwargs", {}), **mode}
    arguments = TrainingArguments(
        **{
            **OWN_DEFAULTS,
            "greater_is_better": larger,
            "logging_steps": max(1, steps // LOGS_PER_RUN),
            **given,
            "bf16": precision.name == "bfloat16",
            "fp16": precision.name == "float16",
            "output_dir": str(folder),
            # Processes that drop the same units would draw fewer masks than there are examples.
            "seed": draw_seed(seed, DROPOUT, *([processes.rank()] if processes.rank() else [])),
            "disable_tqdm": True,
            "logging_nan_inf_filter": False,
            "remove_unused_columns": False,
            "use_cpu": not torch.cuda.is_available(),
        }
    )
    use_one_gpu(arguments)
    return arguments
