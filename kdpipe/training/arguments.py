"""The arguments of training: what the user gave, and what kdpipe decides."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.utils.import_utils import is_torch_tf32_available

from kdpipe import processes
from kdpipe.config.settings.training import wrong_warmup
from kdpipe.draws import DROPOUT, draw_seed
from kdpipe.errors import TrainingError
from kdpipe.metrics import LOWER_IS_BETTER
from kdpipe.models.precision import use_bf16

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


def training_arguments(given: dict[str, Any], folder: Path, seed: int, steps: int) -> TrainingArguments:
    """Return the arguments of a run.

    Args:
        given: fields of `TrainingArguments` that the user set.
        folder: where checkpoints go.
        seed: seed of the run.
        steps: optimizer steps of the run, which decide how often it logs.

    Raises:
        TrainingError: the processor, or the number of steps, does not allow what was set.
    """
    _check(given, steps)
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
            "bf16": use_bf16(False if given.get("fp16") else given.get("bf16")),
            **given,
            "output_dir": str(folder),
            # Processes that drop the same units would draw fewer masks than there are examples.
            "seed": draw_seed(seed, DROPOUT, *([processes.rank()] if processes.rank() else [])),
            "disable_tqdm": True,
            "logging_nan_inf_filter": False,
            "remove_unused_columns": False,
            "use_cpu": not torch.cuda.is_available(),
        }
    )
    if arguments.n_gpu > 1:
        # The Trainer would cut a batch by rows, whose positions in the whole batch its tensors name.
        arguments._n_gpu = 1
    return arguments


def _check(given: Mapping[str, Any], steps: int) -> None:
    """Check what the config does not show: the processor, and the number of steps."""
    gpu = torch.cuda.is_available()
    if given.get("fp16") and not gpu:
        raise TrainingError("training.fp16: needs a GPU, and there is none; leave it out, or give `bf16`")
    if given.get("bf16") and gpu and not torch.cuda.is_bf16_supported():
        raise TrainingError(
            "training.bf16: this GPU does not multiply bfloat16; leave it out, or give `fp16`"
        )
    if given.get("tf32") and not is_torch_tf32_available():
        raise TrainingError("training.tf32: needs a GPU of NVIDIA's Ampere or a later one; leave it out")
    what = wrong_warmup(given, steps)
    if what:
        raise TrainingError(f"training.warmup_steps: {what}")
