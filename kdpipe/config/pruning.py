"""What follows from a config about models that lose heads and neurons."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kdpipe import catalog
from kdpipe.config.entries import Facts
from kdpipe.config.families import family_facts
from kdpipe.config.mistakes import SettingError
from kdpipe.config.settings.prune import PruneSettings
from kdpipe.config.settings.schedule import ScheduleSettings

# What a setting of a uniform shape is called in the shape of a model.
SIZES = {"heads": "heads", "layers": "depth", "intermediate_size": "neurons", "embedding_rank": "width"}


def pruned_facts(settings: PruneSettings, model: Facts) -> Facts:
    """Return what is known of a model that `prune` makes.

    Raises:
        SettingError: models of its family are not pruned, or it has less than what is to be left.
    """
    _require("model", model, "unit_names", "pruned")
    if settings.compat == "code":
        _require("compat", model, "sliced", "pruned as the published code prunes")
    if settings.needs_ranks:
        _require_ranking(settings, model)
    if settings.sparsity is not None:
        _check_sparsity(settings.sparsity, model)
        return replace(model, sparsity=settings.sparsity, ranked=True)
    _check_shape(settings.shape, model)
    sizes: dict[str, Any] = {
        SIZES[name]: size for name, size in settings.shape.items() if name != "embedding_rank"
    }
    fewer_heads = settings.heads is not None and settings.heads != model.shape.heads
    rank = settings.embedding_rank or model.embedding_rank
    return replace(
        model,
        shape=replace(model.shape, **sizes),
        sparsity=None if settings.needs_ranks else model.sparsity,
        # One that a stock class can have is saved as such.
        ranked=fewer_heads
        or (rank is not None and settings.needs_ranks)
        or (settings.heads is None and model.ranked),
        embedding_rank=rank,
        deep_as="" if settings.layers else model.deep_as,
    )


def scheduled_facts(settings: ScheduleSettings, teacher: Facts) -> Facts:
    """Return what is known of an assistant.

    Raises:
        SettingError: models of its family do not run in several sizes, or it is no larger than the student.
    """
    _require("teacher", teacher, "sliced", "trained in several sizes")
    _require_ranking(settings, teacher)
    gone, target = teacher.sparsity, settings.target
    if gone is None:
        # Whatever the teacher lacks, an assistant lacks as much as the largest of the sizes.
        least = min((sparsity for sparsity in settings.sparsities if sparsity < target), default=None)
        return replace(teacher, sparsity=least, ranked=True)
    if target <= gone:
        what = f"expected more than the {gone:g} of its unpruned ancestor that the teacher lacks"
        raise SettingError(
            "target", f"{what}, found {target:g}: the student is to be smaller than its teacher"
        )
    between = [sparsity for sparsity in settings.sparsities if gone < sparsity < target]
    return replace(teacher, sparsity=min(between, default=gone), ranked=True)


def _require_ranking(settings: PruneSettings | ScheduleSettings, model: Facts) -> None:
    if model.ranked is None and settings.importance is None:
        what = (
            f"is required: of the models that {settings.source!r} is chosen among only some carry a ranking"
        )
        raise SettingError("importance", what)


def _check_sparsity(sparsity: float, model: Facts) -> None:
    if model.sparsity is not None and sparsity < model.sparsity:
        what = f"the model lacks {model.sparsity:g} of its unpruned ancestor already, found {sparsity:g}"
        raise SettingError("sparsity", f"{what}; a sparsity is always of that ancestor")


def _check_shape(sizes: Mapping[str, int], model: Facts) -> None:
    for name, wanted in sizes.items():
        there = getattr(model.shape, SIZES[name])
        if name == "embedding_rank":
            there = model.embedding_rank or there
        if there is not None and wanted > there:
            raise SettingError(name, f"the model has {there}, found {wanted}")


def _require(setting: str, model: Facts, fact: str, what: str) -> None:
    family: str | None = model.shape.family
    if family and not family_facts(family)[fact]:
        able: list[Any] = [name for name in sorted(catalog.FAMILIES) if family_facts(name)[fact]]
        raise SettingError(
            setting, f"models of the family {family} are not {what}; those of {', '.join(able)} are"
        )
