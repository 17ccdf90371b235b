"""The optimizer steps of a training, as the fields of its `TrainingArguments` say."""

import math
from collections.abc import Mapping
from typing import Any


def goes_by_evaluations(settings: Mapping[str, Any]) -> list[str]:
    """Return the settings that say that something goes by evaluations during the training."""
    needing = {
        "load_best_model_at_end": settings.get("load_best_model_at_end"),
        "save_strategy": settings.get("save_strategy") == "best",
        "lr_scheduler_type": settings.get("lr_scheduler_type") == "reduce_lr_on_plateau",
    }
    return [name for name, needs in needing.items() if needs]


def count_steps(settings: Mapping[str, Any], examples: int) -> int:
    """Return the optimizer steps of a run over some number of examples."""
    if settings.get("max_steps", -1) > 0:
        return int(settings["max_steps"])
    epochs = float(settings.get("num_train_epochs", 3))
    return math.ceil(-(-examples // examples_of_step(settings)) * epochs)


def wrong_warmup(settings: Mapping[str, Any], steps: int) -> str:
    """Return why a run of so many steps cannot have its warmup, or nothing."""
    warmup = settings.get("warmup_steps", 0)
    warmup = int(warmup) if warmup >= 1 else math.ceil(warmup * steps)
    if settings.get("lr_scheduler_type") != "polynomial" or not 0 < steps <= warmup:
        return ""
    what = f"expected fewer than the {steps} steps of the training, found {warmup}"
    return f"{what}: a `polynomial` begins after the warmup"


def wrong_delay(settings: Mapping[str, Any], steps: int) -> str:
    """Return why a run of so many steps has no evaluation that something goes by, or nothing."""
    delay, strategy = settings.get("eval_delay", 0), settings.get("eval_strategy", "no")
    epochs = settings.get("num_train_epochs", 3) if settings.get("max_steps", -1) < 1 else -1
    ends = {"steps": steps, "epoch": epochs}.get(strategy, -1)
    if not goes_by_evaluations(settings) or not 0 < ends < delay:
        return ""
    unit = "steps" if strategy == "steps" else "epochs"
    what = f"expected at most the {ends:g} {unit} of the training, found {delay:g}"
    return f"{what}: without an evaluation no model is the best"


def examples_of_step(settings: Mapping[str, Any]) -> int:
    """Return the examples that an optimizer step learns from."""
    return int(
        settings.get("per_device_train_batch_size", 8) * settings.get("gradient_accumulation_steps", 1)
    )
