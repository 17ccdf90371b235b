"""`prune`: a smaller model, by sparsity or by one shape for all blocks."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from kdpipe.anatomy.families import LANGUAGE_MODELING, count_places
from kdpipe.anatomy.units import Units, leaves_no_more
from kdpipe.config.mistakes import SettingError
from kdpipe.config.settings.base import ModelName
from kdpipe.config.settings.bounds import MANY, Count
from kdpipe.config.settings.explanation import mistake
from kdpipe.config.settings.importance import ImportanceSettings, RankedSettings
from kdpipe.plan.entries import Facts
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import Known
from kdpipe.plan.pruning import PruningStage, at_sparsity, check_family, check_ranking, lack, units_of, within
from kdpipe.plan.stage import HOUR
from kdpipe.plan.suitability import datasets_of_users, suitable

SHAPE_FIELDS = ("heads", "layers", "intermediate_size", "embedding_rank")

# What a setting of a uniform shape is called in the shape of a model.
SIZE_FACTS = {"heads": "heads", "layers": "depth", "intermediate_size": "neurons"}
# Sizes that shrink as the width of a model does.
SCALED = ("intermediate_size", "embedding_rank")


class PruneSettings(RankedSettings):
    """A model without the heads and neurons that matter least.

    Args:
        model: the model to prune.
        sparsity: the share of its unpruned ancestor's heads, and of its neurons, that goes.
        heads: heads of every block.
        layers: blocks, the lowest.
        intermediate_size: neurons of every block's feed-forward layer.
        embedding_rank: rank of the word embeddings.
        importance: how units are ranked; by default a pruned model's are as they were, and others' are ranked
            with the defaults.
        compat: `paper`, or `code` to drop the bias behind an attention or a feed-forward layer that has lost
            all units, as MiniDisc's published code does; what is pruned of the model drops it, too.
    """

    model: ModelName
    sparsity: float | None = Field(default=None, ge=0, lt=1)
    heads: int | None = Field(default=None, ge=0, le=MANY)
    layers: Count | None = None
    intermediate_size: int | None = Field(default=None, ge=0, le=MANY)
    embedding_rank: Count | None = None
    importance: ImportanceSettings | None = None
    compat: Literal["paper", "code"] = "paper"

    @property
    def source(self) -> str:
        return self.model

    @property
    def shape(self) -> dict[str, int]:
        """What is given of a uniform shape."""
        return {name: value for name in SHAPE_FIELDS if (value := getattr(self, name)) is not None}

    @property
    def needs_ranks(self) -> bool:
        return self.sparsity is not None or self.heads is not None or self.intermediate_size is not None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.sparsity is None) == (not self.shape):
            raise mistake(
                ("sparsity",), f"expected either this or a uniform shape: some of {', '.join(SHAPE_FIELDS)}"
            )
        if self.importance is not None and not self.needs_ranks:
            raise mistake(("importance",), "no heads and no neurons are chosen; remove this")
        return self


class Prune(PruningStage[PruneSettings]):
    """Remove the heads and neurons of a model that matter least."""

    settings = PruneSettings
    keeps_head_of = "model"
    one_thread = True
    short = True
    longest = HOUR

    def facts(self, name: str, settings: PruneSettings, known: Known) -> Facts:
        model = known.facts[settings.model]
        check_family("model", model, "unit_names", "pruned")
        if settings.compat == "code":
            check_family("compat", model, "sliced", "pruned as the published code prunes")
        if settings.needs_ranks:
            check_ranking(settings, model)
        if settings.embedding_rank is not None:
            _check_embeddings(model)
        units = units_of(model)
        if settings.sparsity is not None:
            _check_sparsity(settings.sparsity, units)
            return replace(model, units=at_sparsity(settings.sparsity, units), ranked=True)
        _check_shape(settings.shape, model, units)
        sizes: dict[str, Any] = {
            SIZE_FACTS[name]: size for name, size in settings.shape.items() if name in SIZE_FACTS
        }
        shape, ranked = replace(model.shape, **sizes), _is_ranked(settings, model)
        return replace(
            model,
            shape=shape,
            units=model.units if ranked is False else within(units, shape),
            ranked=ranked,
            embedding_rank=settings.embedding_rank or model.embedding_rank,
            deep_as="" if settings.layers else model.deep_as,
        )

    def usual_datasets(self, graph: Graph, model: str) -> tuple[tuple[str, ...], str]:
        """Return the datasets of the nearest ancestor with a dataset, or the loaded ancestor's datasets."""
        own = [(dataset, False) for dataset in graph.own_datasets(model)]
        return suitable(graph, model, own or datasets_of_users(graph, graph.lineage(model)[-1]))

    def uses(self, settings: PruneSettings, setting: str, model: str) -> Iterator[tuple[str, bool]]:
        for dataset in settings.importance.datasets if settings.importance else ():
            yield dataset, True

    def in_small(self, settings: PruneSettings, factor: int, sizes: Mapping[str, int]) -> dict[str, Any]:
        small = super().in_small(settings, factor, sizes)
        return {key: max(1, item // factor) if key in SCALED else item for key, item in small.items()}


def _is_ranked(settings: PruneSettings, model: Facts) -> bool | None:
    """Tell whether a model of a uniform shape carries a ranking, as all do that no stock class can have."""
    if model.ranked or not settings.needs_ranks:
        return model.ranked
    if settings.embedding_rank or model.embedding_rank or settings.intermediate_size == 0:
        return True
    if settings.heads in (None, model.shape.heads):
        return model.ranked
    return None if model.shape.heads is None else True


def _check_sparsity(sparsity: float, units: Mapping[str, Units]) -> None:
    if not leaves_no_more(sparsity, units):
        what = f"the model lacks {lack(units)} already, found {sparsity:g}"
        raise SettingError("sparsity", f"{what}; a sparsity is always of that ancestor")


def _check_shape(sizes: Mapping[str, int], model: Facts, units: Mapping[str, Units]) -> None:
    places = count_places(model.shape)
    for name, wanted in sizes.items():
        there = getattr(model.shape, SIZE_FACTS[name]) if name in SIZE_FACTS else _widest(model)
        if there is not None and wanted > there:
            raise SettingError(name, f"the model has {there}, found {wanted}")
    for name, kind in SIZE_FACTS.items():
        left = units[kind].left if kind in units else None
        if left is not None and sizes.get(name, 0) * (places[kind] or 0) > left:
            what = (
                f"of the {kind} at most {left} are left, found {sizes[name]} in each of {places[kind]} places"
            )
            raise SettingError(name, what)


def _check_embeddings(model: Facts) -> None:
    check_family("embedding_rank", model, "factorized", "given word embeddings of a lower rank")
    if model.head == LANGUAGE_MODELING:
        what = f"the model's head for {LANGUAGE_MODELING} needs whole word embeddings"
        raise SettingError("embedding_rank", f"{what}; prune a model that was trained for another task")


def _widest(model: Facts) -> int | None:
    """Return the rank of a model's word embeddings."""
    return model.embedding_rank or model.shape.embeddings or model.shape.width
