"""The arguments of training: what the user gave, and what kdpipe decides."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from kdpipe import processes
from kdpipe.draws import DROPOUT, draw_seed
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
    """
    given = {name: value for name, value in given.items() if name != "early_stopping_patience"}
    metric = str(given.get("metric_for_best_model")).removeprefix("eval_")
    arguments = TrainingArguments(
        **{
            **OWN_DEFAULTS,
            "greater_is_better": metric not in LOWER_IS_BETTER,
            "logging_steps": max(1, steps // LOGS_PER_RUN),
            "bf16": use_bf16(False if given.get("fp16") else given.get("bf16")),
            **given,
            "output_dir": str(folder),
            # Processes that drop the same units would draw fewer masks than there are examples.
            "seed": draw_seed(seed, DROPOUT, *([processes.rank()] if processes.rank() else [])),
            "disable_tqdm": True,
            "logging_nan_inf_filter": False,
            "remove_unused_columns": False,
            "use_cpu": given.get("use_cpu", False) or not torch.cuda.is_available(),
        }
    )
    if arguments.n_gpu > 1:
        # The Trainer would cut a batch by rows, whose positions in the whole batch its tensors name.
        arguments._n_gpu = 1
    return arguments
