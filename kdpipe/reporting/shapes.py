"""The shapes of pruned models: how many heads and neurons each of their layers has kept."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any

from kdpipe.anatomy.families import PRUNED, family_name, shape_of
from kdpipe.config.matrix import Matrix
from kdpipe.plan.graph import Graph
from kdpipe.plan.stages.prune import PruneSettings
from kdpipe.plan.stages.schedule import ScheduleSettings
from kdpipe.reporting.grouping import group_names

Config = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """The units of a kind that a model has.

    Args:
        unit: `heads` or `neurons`.
        counts: their number in each layer, from the lowest; of several runs the mean.
        full: their number in a layer before any went.
    """

    unit: str
    counts: tuple[float, ...]
    full: float


@dataclass(frozen=True)
class PrunedShape:
    """The shape of a pruned model.

    Args:
        model: the model, or the group of runs.
        kept: what it has of each kind.
    """

    model: str
    kept: tuple[Kept, ...]

    @property
    def depth(self) -> int:
        """The number of layers."""
        return max(len(kept.counts) for kept in self.kept)


def kept_shapes(graph: Graph) -> list[PrunedShape]:
    """Return the shapes of the models that `prune` and `schedule` make, in the order of the config."""
    groups = group_names(graph.document.models, Matrix(graph.document.matrix), graph.document.report.over)
    runs: dict[str, list[tuple[Config, Config]]] = {}
    for name, group in groups.items():
        settings = graph.nodes[name].settings
        if isinstance(settings, PruneSettings | ScheduleSettings):
            own, source = (_read_config(graph.layout.model(one)) for one in (name, settings.source))
            runs.setdefault(group, []).append((own, source))
    return [_shape(group, configs) for group, configs in runs.items()]


def _shape(group: str, runs: Sequence[tuple[Config, Config]]) -> PrunedShape:
    counts = [unit_counts(own) for own, _ in runs]
    # A pruned class says what there was before; a stock one says only what is left.
    full = [uniform_counts(own if own["model_type"].startswith(PRUNED) else source) for own, source in runs]
    return PrunedShape(
        group,
        tuple(
            Kept(f"{kind}s", _mean([own[kind] for own in counts]), max(max(own[kind]) for own in full))
            for kind in ("head", "neuron")
        ),
    )


def unit_counts(config: Config) -> dict[str, list[int]]:
    """Return the heads and neurons of each layer of the model that a transformers config describes."""
    return config.get("unit_counts") or uniform_counts(config)


def uniform_counts(config: Config) -> dict[str, list[int]]:
    """Return the same of a model whose layers are all as wide as its stock class makes them."""
    shape = shape_of(family_name(config["model_type"]), config)
    depth = shape.depth or 1
    return {"head": [shape.heads or 0] * depth, "neuron": [shape.neurons or 0] * depth}


def _mean(counts: Sequence[Sequence[int]]) -> tuple[float, ...]:
    layers = zip_longest(*counts)
    return tuple(fmean(count for count in layer if count is not None) for layer in layers)


def _read_config(folder: Path) -> Config:
    content: Config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return content
