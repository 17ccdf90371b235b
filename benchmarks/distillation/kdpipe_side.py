"""kdpipe's side of `benchmarks/distill.py`: write the cache, then train on it with kdpipe's training loop."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from benchmarks.distillation import setting
from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import head_of, task_of
from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.losses.soft_cross_entropy import SoftCrossEntropyLoss
from kdpipe.models.loading import load_tokenizer, load_with_head
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import TEACHER
from kdpipe.stages import cache_teacher
from kdpipe.training.objective import Objective, Term
from kdpipe.training.run import Outcome, train


def main() -> None:
    """Cache, train, print the outcome."""
    options = setting.parse_arguments()
    with TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        start = time.perf_counter()
        signals = ("logits", *(f"hidden_states.{teacher}" for teacher, _ in setting.PAIRS))
        settings = CacheTeacherSettings(signals=signals, bf16=options.bf16)
        workspace = Workspace(output=cache, state=Path(folder) / "state")
        cache_teacher.run(settings, workspace, teacher=options.teacher, data=options.data)
        cache_seconds = time.perf_counter() - start
        clock = setting.Clock()
        model, outcome = distil(options, cache, clock, Path(folder))
    losses = [row["value"] for row in outcome.history if row["name"] == "loss"]
    setting.report(model, options, cache_s=cache_seconds, step_s=clock.seconds(), losses=losses)


def distil(options: Any, cache: Path, clock: setting.Clock, folder: Path) -> tuple[Any, Outcome]:
    """Train the student on the cached signals."""
    task, head = task_of(options.data), head_of(options.data)
    split = EncodedSplit(options.data, "train")
    pad_id = load_tokenizer(options.student).pad_token_id
    collator = Collator(split, pad_id, knowledge={TEACHER: CachedKnowledge(cache / SIGNALS, split)})
    soft = SoftCrossEntropyLoss(temperature=setting.TEMPERATURE)
    hidden = Term("hidden_mse", HiddenMSELoss(), len(setting.PAIRS), "tokens", setting.PAIRS)
    model = load_with_head(options.student, head, setting.SEED)
    training = {
        "per_device_train_batch_size": setting.BATCH_SIZE,
        "learning_rate": setting.LEARNING_RATE,
        "max_grad_norm": setting.MAX_GRAD_NORM,
        "lr_scheduler_type": "constant",
        "max_steps": options.steps,
        "logging_steps": 1,
        "bf16": options.bf16,
    }
    objective = Objective([Term("soft_cross_entropy", soft), hidden], task.kind)
    bar, checkpoints = cast(Any, clock), Checkpoints(folder)
    return model, train(
        model, objective, collator, training, seed=setting.SEED, checkpoints=checkpoints, bar=bar
    )


if __name__ == "__main__":
    main()
