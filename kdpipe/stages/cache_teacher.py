"""Run a frozen teacher once over a dataset and store the signals that students learn from."""

import logging
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.adapters.targets import targets_of
from kdpipe.anatomy.families import family_facts, family_name, shape_of
from kdpipe.anatomy.knowledge import Share
from kdpipe.anatomy.signals import Positions
from kdpipe.artifacts.artifact import device, versions
from kdpipe.artifacts.sums import SUMS, file_digest
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit, SomeRows, read_description, rows_with
from kdpipe.digest import digest
from kdpipe.evaluation.scoring import load_for, task_of
from kdpipe.knowledge.identity import data_digest, vocabulary_digest
from kdpipe.knowledge.storing import StoringTeacher
from kdpipe.knowledge.tokens import separators_of
from kdpipe.models.family import config_shape, depth_of
from kdpipe.models.loading import load_tokenizer, read_model_config
from kdpipe.models.precision import Precision, autocast, kept_precision, norms_in_fp32, set_tf32
from kdpipe.plan.identity import PRUNED_MODELS, code_of, identity, module_of
from kdpipe.plan.saved.knowledge import FILE, StoredKnowledge
from kdpipe.plan.stage import definition
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.shared import shared
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.building import CACHED_BATCH, write_knowledge
from kdpipe.signals.cache import SIGNALS
from kdpipe.signals.capture import Request, Teacher
from kdpipe.signals.modules import check_modules
from kdpipe.signals.sizes import check_size, measure

LOG = logging.getLogger(__name__)
# The packages that compute signals.
COMPUTING = ("torch", "transformers")


def run(
    settings: CacheTeacherSettings,
    workspace: Workspace,
    *,
    teacher: Path,
    data: Path,
    counts: Path | None = None,
    limit_gb: float = 50.0,
    knowledge_dir: str = "",
) -> None:
    """Store the signals of every example of a split, if they take at most `limit_gb` GB.

    With `knowledge_dir` the signals are taken from there, or made for whoever needs the same signals later.
    """
    config = read_model_config(teacher)
    depth, _ = config_shape(config)
    maskings = _maskings(settings, config)
    positions: Positions = "tokens" if settings.positions == "all" else task_of(data).positions
    request = Request(settings.stored(depth), positions)
    split = EncodedSplit(data, settings.split)
    if settings.rows:
        split = SomeRows(split, rows_with(split, *settings.rows))
    precision = kept_precision(settings.model_dump(), workspace.shards)
    LOG.info("matrices are multiplied in %s", precision)
    about, entry = {}, None
    if knowledge_dir:
        about = _dependencies(settings, request, depth, precision, workspace.threads, teacher, data, counts)
        entry = Path(knowledge_dir, digest(about))
    with workspace.artifact() as draft, shared(entry, draft.folder / SIGNALS, about) as needed:
        if needed:
            frozen, collator = _load(settings, request, precision, split, teacher, data, counts)
            sizes = measure(frozen, collator, settings.precision, frozen.model.device)
            check_size(sizes, len(split), limit_gb)
            _write(
                draft.folder / SIGNALS, frozen, collator, settings, precision, workspace, sum(sizes.values())
            )
        size = (draft.folder / SIGNALS).stat().st_size
        LOG.info("the cache has %.3f MB", size / 1e6)
        draft.write_json(FILE, _described(settings, request, config, teacher, data))
        draft.record(
            precision=asdict(precision),
            examples=len(split),
            tokens=int(split.lengths.sum()),
            signals=list(map(str, request.signals)),
            bytes=size,
            maskings=maskings,
            forwards=len(split) * maskings if needed else 0,
            backwards=0,
        )


def _described(
    settings: CacheTeacherSettings,
    request: Request,
    config: Any,
    teacher: Path,
    data: Path,
) -> dict[str, Any]:
    """Return what a student needs to know of the signals where the teacher is not."""
    description, selected = read_description(data), settings.selected
    labels = description["labels"]
    depth, _ = config_shape(config)
    schemes = selected.model_dump(exclude={"parts"}) if selected else {}
    stored = StoredKnowledge(
        shape=shape_of(config.model_type, config.to_dict()),
        task=description["task"],
        labels=tuple(labels) if labels else None,
        tokenizer=vocabulary_digest(load_tokenizer(teacher)),
        data=data_digest(EncodedSplit(data, settings.split)),
        signals=_held(settings, request, depth),
        **{name: schemes.get(name) for name in ("token_scheme", "hidden_scheme", "compat")},
    )
    return stored.model_dump(mode="json")


def _held(
    settings: CacheTeacherSettings, request: Request, depth: int
) -> dict[str, tuple[tuple[Any, ...], ...]]:
    """Return what is stored of each signal: tokens, share of the width, and a seed, for each amount."""
    parts = settings.selected.shares(depth) if settings.selected else {}
    return {str(signal): tuple(map(astuple, parts.get(signal, (Share(),)))) for signal in request.signals}


def _dependencies(
    settings: CacheTeacherSettings,
    request: Request,
    depth: int,
    precision: Precision,
    threads: int,
    teacher: Path,
    data: Path,
    counts: Path | None,
) -> dict[str, Any]:
    """Return all that the stored signals depend on, whatever the folders and the names of the models."""
    family = catalog.FAMILIES[family_name(read_model_config(teacher).model_type)]
    task = catalog.TASKS[read_description(data)["task"]]
    selected = settings.selected
    roots = definition("cache_teacher").module, PRUNED_MODELS, *map(module_of, (family, task))
    return {
        "teacher": file_digest(teacher / SUMS),
        "data": file_digest(data / SUMS),
        "split": [settings.split, settings.rows],
        "masks": [settings.model_dump()["masking"], settings.seed, counts and file_digest(counts / SUMS)],
        "signals": [*map(str, request.signals)],
        "parts": selected and [selected.model_dump(exclude={"parts"}), _held(settings, request, depth)],
        "positions": request.positions,
        "stored": settings.precision,
        "multiplied": [precision.name, settings.tf32],
        "code": identity(code_of(roots)),
        "machine": [device(), threads, *(versions()[name] for name in COMPUTING)],
    }


def _load(
    settings: CacheTeacherSettings,
    request: Request,
    precision: Precision,
    split: EncodedSplit,
    teacher: Path,
    data: Path,
    counts: Path | None,
) -> tuple[Teacher, Collator]:
    """Load the teacher as it runs, and return it with the batches of the split."""
    set_tf32(settings.tf32)
    model, tokenizer = load_for(data, teacher, head=request.needs_head)
    check_modules(model, request.signals)
    if precision.name == "bfloat16":
        norms_in_fp32(model)
    targets = targets_of(model, tokenizer, data, settings.masking, counts, settings.seed)
    return _teacher(settings, model, request, tokenizer), Collator(split, tokenizer.pad_token_id, targets)


def _teacher(settings: CacheTeacherSettings, model: Any, request: Request, tokenizer: Any) -> Teacher:
    """Return the model as it gives what is stored."""
    if settings.selected is None:
        return Teacher(model, request)
    shares = settings.selected.shares(depth_of(model))
    stored = settings.selected.selection, separators_of(tokenizer), settings.precision, shares
    return StoringTeacher(model, request, *stored)


def _write(
    file: Path,
    teacher: Teacher,
    collator: Collator,
    settings: CacheTeacherSettings,
    precision: Precision,
    workspace: Workspace,
    size: int,
) -> None:
    """Run the teacher over the split, and write its signals."""
    total = len(collator.split) * collator.maskings
    with workspace.progress(total, "cache", "example") as bar, autocast(precision):
        write_knowledge(
            file,
            teacher,
            collator,
            settings.precision,
            teacher.model.device,
            bar.update,
            workspace.checkpoints.folder,
            workspace.clock,
            precision.name,
            settings.eval_batch_size or CACHED_BATCH,
            size,
        )


def _maskings(settings: CacheTeacherSettings, config: Any) -> int:
    """Return the number of ways in which examples are masked; for causal models, nothing is masked."""
    causal = family_facts(family_name(config.model_type))["causal"]
    return 1 if causal or settings.masking is None else settings.masking.fixed or 1


if __name__ == "__main__":
    main(run)
