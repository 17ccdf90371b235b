"""kdpipe's side of `benchmarks/distill.py`: write the cache, then train on it with kdpipe's training loop."""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pyarrow as pa

from benchmarks.distillation import setting
from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.catalog import resolve
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.mapped import MappedColumn
from kdpipe.evaluation.scoring import head_of, task_of
from kdpipe.losses.soft_cross_entropy import SoftCrossEntropyLoss
from kdpipe.models.family import config_shape
from kdpipe.models.loading import load_tokenizer, load_with_head, read_model_config
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import TEACHER
from kdpipe.stages import cache_teacher
from kdpipe.training.objective import Objective
from kdpipe.training.run import Outcome, train
from kdpipe.training.terms import Weighted, build_objective


def main() -> None:
    """Cache if the cache is not there, train, print the outcome."""
    options = setting.parse_arguments()
    objective = make_objective(options)
    start = time.perf_counter()
    if not options.cache.exists():
        write_cache(options, objective)
    cache_seconds = time.perf_counter() - start
    clock = setting.Clock()
    with TemporaryDirectory() as folder:
        model, outcome = distil(options, objective, clock, Path(folder))
    losses = [row["value"] for row in outcome.history if row["name"] == "loss"]
    setting.report(model, options, cache_s=cache_seconds, step_s=clock.seconds(), losses=losses)


def make_objective(options: Any) -> Objective:
    """Return the losses of a recipe; kdpipe averages over pairs, TextBrewer sums over them."""
    losses = [Weighted(SoftCrossEntropyLoss(temperature=setting.TEMPERATURE), name="soft_cross_entropy")]
    for name in setting.RECIPES[options.recipe]:
        pairs = setting.PAIRS[name]
        losses.append(Weighted(resolve("losses", name)(), len(pairs), pairs, name=name))
    teacher, student = (config_shape(read_model_config(path)) for path in (options.teacher, options.student))
    return build_objective(
        losses, task_of(options.data), {TEACHER.teacher: teacher}, student, seed=setting.SEED
    )


def write_cache(options: Any, objective: Objective) -> None:
    """Run the stage that stores the teacher's signals, and write them to the disk."""
    signals = tuple(map(str, objective.teachers[TEACHER].signals))
    settings = CacheTeacherSettings(signals=signals, bf16=options.bf16)
    workspace = Workspace(output=options.cache, state=options.cache.with_suffix(".state"))
    cache_teacher.run(settings, workspace, teacher=options.teacher, data=options.data)


def distil(options: Any, objective: Objective, clock: setting.Clock, folder: Path) -> tuple[Any, Outcome]:
    """Train the student on the cached signals."""
    split = EncodedSplit(options.data, "train")
    pad_id = load_tokenizer(options.student).pad_token_id
    collator = Collator(split, pad_id, knowledge={TEACHER: open_cache(options, split)})
    model = load_with_head(options.student, head_of(options.data), setting.SEED)
    training = {
        "per_device_train_batch_size": setting.BATCH_SIZE,
        "learning_rate": setting.LEARNING_RATE,
        "max_grad_norm": setting.MAX_GRAD_NORM,
        "lr_scheduler_type": "constant",
        "max_steps": options.steps,
        "bf16": options.bf16,
    }
    bar, checkpoints = cast(Any, clock), Checkpoints(folder)
    return model, train(
        model, objective, collator, training, seed=setting.SEED, checkpoints=checkpoints, bar=bar
    )


def open_cache(options: Any, split: EncodedSplit) -> CachedKnowledge:
    """Return the cache, of which the system's memory holds nothing or, with `--in-memory`, everything."""
    file = options.cache / SIGNALS
    if not options.in_memory:
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    knowledge = CachedKnowledge(file, split)
    if options.in_memory:
        table = pa.ipc.open_file(pa.OSFile(str(file))).read_all()
        knowledge.columns = {
            signal: MappedColumn(table.column(str(signal)).chunks) for signal in knowledge.columns
        }
    return knowledge


if __name__ == "__main__":
    main()
