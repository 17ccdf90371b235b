"""Run a frozen teacher once over a dataset and store the signals that students learn from."""

import logging
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.evaluation.scoring import load_for, task_of
from kdpipe.models.family import config_shape
from kdpipe.models.loading import read_model_config
from kdpipe.models.precision import Precision, autocast, choose_precision, norms_in_fp32, set_tf32
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.cache import CACHED_BATCH, SIGNALS, write_knowledge
from kdpipe.signals.capture import Request, Teacher
from kdpipe.signals.modules import check_modules
from kdpipe.signals.sizes import check_size, measure

LOG = logging.getLogger(__name__)


def run(
    settings: CacheTeacherSettings, workspace: Workspace, *, teacher: Path, data: Path, limit_gb: float = 50.0
) -> None:
    """Store the signals of every example of a split, if they take at most `limit_gb` GB."""
    depth, _ = config_shape(read_model_config(teacher))
    request = Request(settings.stored(depth), task_of(data).positions)
    split = EncodedSplit(data, settings.split)
    precision = _precision(settings, workspace)
    LOG.info("matrices are multiplied in %s", precision)
    set_tf32(settings.tf32)
    model, tokenizer = load_for(data, teacher, head=request.needs_head)
    check_modules(model, request.signals)
    if precision.name == "bfloat16":
        norms_in_fp32(model)
    collator, frozen = Collator(split, tokenizer.pad_token_id), Teacher(model, request)
    check_size(measure(frozen, collator, settings.precision, model.device), len(split), limit_gb)
    with (
        workspace.artifact() as draft,
        workspace.progress(len(split), "cache", "example") as bar,
        autocast(precision),
    ):
        write_knowledge(
            draft.folder / SIGNALS,
            frozen,
            collator,
            settings.precision,
            model.device,
            bar.update,
            workspace.shards,
            precision.name,
            settings.eval_batch_size or CACHED_BATCH,
        )
        draft.record(
            precision=asdict(precision),
            examples=len(split),
            tokens=int(split.lengths.sum()),
            signals=list(map(str, request.signals)),
            forwards=len(split),
            backwards=0,
        )


def _precision(settings: CacheTeacherSettings, workspace: Workspace) -> Precision:
    """Return the precision of matrix products; a stage that goes on elsewhere has its first precision."""

    def choose() -> pa.Table:
        return pa.Table.from_pylist([asdict(choose_precision(settings.model_dump()))])

    return Precision(**workspace.shards.table("precision", choose).to_pylist()[0])


if __name__ == "__main__":
    main(run)
