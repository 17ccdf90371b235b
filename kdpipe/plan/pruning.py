"""What follows from a config about models that lose heads and neurons."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kdpipe import catalog
from kdpipe.anatomy.families import count_places, count_units, family_facts
from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.units import Units, leaves_fewer, leaves_no_more
from kdpipe.config.mistakes import SettingError
from kdpipe.plan.entries import LANGUAGE_MODELING, Facts
from kdpipe.plan.stages.prune import PruneSettings
from kdpipe.plan.stages.schedule import ScheduleSettings

# What a setting of a uniform shape is called in the shape of a model.
SIZES = {"heads": "heads", "layers": "depth", "intermediate_size": "neurons"}


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
    if settings.embedding_rank is not None:
        _check_embeddings(model)
    units = _units(model)
    if settings.sparsity is not None:
        _check_sparsity(settings.sparsity, units)
        return replace(model, units=_at(settings.sparsity, units), ranked=True)
    _check_shape(settings.shape, model, units)
    sizes: dict[str, Any] = {SIZES[name]: size for name, size in settings.shape.items() if name in SIZES}
    shape, ranked = replace(model.shape, **sizes), _is_ranked(settings, model)
    return replace(
        model,
        shape=shape,
        units=model.units if ranked is False else within(units, shape),
        ranked=ranked,
        embedding_rank=settings.embedding_rank or model.embedding_rank,
        deep_as="" if settings.layers else model.deep_as,
    )


def scheduled_facts(settings: ScheduleSettings, teacher: Facts) -> Facts:
    """Return what is known of an assistant.

    Raises:
        SettingError: models of its family do not run in several sizes, or it is no larger than the student.
    """
    _require("teacher", teacher, "sliced", "trained in several sizes")
    _require_ranking(settings, teacher)
    units, target = _units(teacher), settings.target
    if not leaves_fewer(target, units):
        what = f"expected more than the {_lack(units)} that the teacher lacks, found {target:g}"
        raise SettingError("target", f"{what}: the student is to be smaller than its teacher")
    if settings.compat == "code":
        # Sizes as large as the teacher are trained, too, and the student stands for smaller ones.
        sizes = [min(own, target) for own in settings.sparsities if leaves_no_more(own, units)]
    else:
        sizes = [own for own in settings.sparsities if own < target and leaves_fewer(own, units)]
    return replace(teacher, units=_at(min(sizes), units) if sizes else units, ranked=True)


def within(units: Mapping[str, Units], shape: Shape) -> dict[str, Units]:
    """Return what is known of the units of a pruned model whose blocks have no more than a shape's."""
    counts = count_units(shape)
    return {kind: own.at_most(counts[kind]) for kind, own in units.items()}


def _units(model: Facts) -> Mapping[str, Units]:
    """Return what is known of a model's units; one that is of a stock class is its own ancestor."""
    if model.ranked is not False:
        return model.units
    counts = count_units(model.shape)
    return {kind: replace(own, whole=counts[kind]) for kind, own in model.units.items()}


def _at(sparsity: float, units: Mapping[str, Units]) -> dict[str, Units]:
    return {kind: replace(own, gone=sparsity) for kind, own in units.items()}


def _is_ranked(settings: PruneSettings, model: Facts) -> bool | None:
    """Tell whether a model of a uniform shape carries a ranking, as all do that no stock class can have."""
    if model.ranked or not settings.needs_ranks:
        return model.ranked
    if settings.embedding_rank or model.embedding_rank or settings.intermediate_size == 0:
        return True
    if settings.heads in (None, model.shape.heads):
        return model.ranked
    return None if model.shape.heads is None else True


def _require_ranking(settings: PruneSettings | ScheduleSettings, model: Facts) -> None:
    if model.ranked is None and settings.importance is None:
        what = f"whether {settings.source!r} carries a ranking is known once it is made"
        raise SettingError("importance", f"is required: {what}")


def _check_sparsity(sparsity: float, units: Mapping[str, Units]) -> None:
    if not leaves_no_more(sparsity, units):
        what = f"the model lacks {_lack(units)} already, found {sparsity:g}"
        raise SettingError("sparsity", f"{what}; a sparsity is always of that ancestor")


def _lack(units: Mapping[str, Units]) -> str:
    """Return how much is gone of the units of which more is."""
    kind, own = max(units.items(), key=lambda named: named[1].gone or 0.0)
    return f"{own.gone or 0.0:g} of the {kind} of its unpruned ancestor"


def _check_shape(sizes: Mapping[str, int], model: Facts, units: Mapping[str, Units]) -> None:
    places = count_places(model.shape)
    for name, wanted in sizes.items():
        there = getattr(model.shape, SIZES[name]) if name in SIZES else _widest(model)
        if there is not None and wanted > there:
            raise SettingError(name, f"the model has {there}, found {wanted}")
    for name, kind in SIZES.items():
        left = units[kind].left if kind in units else None
        if left is not None and sizes.get(name, 0) * (places[kind] or 0) > left:
            what = (
                f"of the {kind} at most {left} are left, found {sizes[name]} in each of {places[kind]} places"
            )
            raise SettingError(name, what)


def _check_embeddings(model: Facts) -> None:
    _require("embedding_rank", model, "factorized", "given word embeddings of a lower rank")
    if model.head == LANGUAGE_MODELING:
        what = f"the model's head for {LANGUAGE_MODELING} needs whole word embeddings"
        raise SettingError("embedding_rank", f"{what}; prune a model that was trained for another task")


def _widest(model: Facts) -> int | None:
    """Return the rank of a model's word embeddings."""
    return model.embedding_rank or model.shape.embeddings or model.shape.width


def _require(setting: str, model: Facts, fact: str, what: str) -> None:
    family: str | None = model.shape.family
    if family and not family_facts(family)[fact]:
        able: list[Any] = [name for name in sorted(catalog.FAMILIES) if family_facts(name)[fact]]
        raise SettingError(
            setting, f"models of the family {family} are not {what}; those of {', '.join(able)} are"
        )
