"""Run a frozen teacher once over a dataset and store the signals that students learn from."""

import logging
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from kdpipe.anatomy.families import shape_of
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import task_of
from kdpipe.models.compatibility import check_fit
from kdpipe.models.family import config_shape
from kdpipe.models.loading import load_frozen, load_tokenizer, read_config
from kdpipe.models.precision import (
    Precision,
    autocast,
    choose_precision,
    default_device,
    norms_in_fp32,
    set_tf32,
)
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.cache import BATCH_SIZE, SIGNALS, check_size, write_knowledge
from kdpipe.signals.capture import Request, Teacher

LOG = logging.getLogger(__name__)


def run(
    settings: CacheTeacherSettings, workspace: Workspace, *, teacher: Path, data: Path, limit_gb: float = 50.0
) -> None:
    """Store the signals of every example of a split, if they take at most `limit_gb` GB."""
    task, labels = task_of(data)
    tokenizer = load_tokenizer(teacher)
    check_fit(teacher, tokenizer, data)
    config = read_config(teacher)
    depth, _ = config_shape(config)
    request = Request(settings.stored(depth), task.positions)
    split = EncodedSplit(data, settings.split)
    shape = asdict(shape_of(config.model_type, config.to_dict()))
    check_size(request.signals, split.lengths, shape, settings.precision, limit_gb)
    chosen, device = _precision(settings, workspace), default_device()
    LOG.info("matrices are multiplied in %s", chosen)
    set_tf32(settings.tf32)
    model = load_frozen(teacher, task.head(labels) if request.needs_head else None, device)
    if chosen.name == "bfloat16":
        norms_in_fp32(model)
    collator = Collator(split, tokenizer.pad_token_id)
    with (
        workspace.artifact() as draft,
        workspace.progress(len(split), "cache", "example") as bar,
        autocast(chosen),
    ):
        write_knowledge(
            draft.folder / SIGNALS,
            Teacher(model, request),
            collator,
            settings.precision,
            device,
            bar.update,
            workspace.shards,
            chosen.name,
            settings.eval_batch_size or BATCH_SIZE,
        )
        draft.record(precision=asdict(chosen))
        draft.record(examples=len(split), tokens=int(split.lengths.sum()))
        draft.record(signals=list(map(str, request.signals)))
        draft.record(forwards=len(split), backwards=0)


def _precision(settings: CacheTeacherSettings, workspace: Workspace) -> Precision:
    """Return what the teacher multiplies in: what it began with, where it goes on on another machine."""

    def choose() -> pa.Table:
        return pa.table(
            {name: [text] for name, text in asdict(choose_precision(settings.model_dump())).items()}
        )

    return Precision(**workspace.shards.table("precision", choose).to_pylist()[0])


if __name__ == "__main__":
    main(run)
