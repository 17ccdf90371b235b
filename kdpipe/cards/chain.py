"""The steps that made a model, from the model that was loaded or created."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kdpipe.artifacts.artifact import read_manifest
from kdpipe.config.settings.base import AFTERWARDS
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import datasets_of

# What paths of a user's machine begin with.
PLACES = ("/", "~", "..")


class Step(NamedTuple):
    """One model on the way to another.

    Args:
        model: its name.
        stage: the stage that made it.
        source: the model that it was made of, or where it was loaded from; "" for a model made of none.
        teachers: the models that it learned from.
        datasets: the datasets that it was made with.
        seed: the seed of all draws.
        examples: examples that its training has seen; None without a training.
        settings: its settings, as far as the config gives them, without places of the user's machine.
    """

    model: str
    stage: str
    source: str
    teachers: Sequence[str]
    datasets: Sequence[str]
    seed: int
    examples: int | None
    settings: Mapping[str, Any]


def steps_to(graph: Graph, model: str) -> list[Step]:
    """Return the steps that made a model, the first one first; their models are finished."""
    chain, made_of = [], model
    while made_of:
        name, made_of = made_of, _made_of(graph, made_of)
        chain.append(_step(graph, name, made_of))
    return chain[::-1]


def told(value: Any) -> Any:
    """Return settings as a card tells them: none that is empty, and no folder of the user's machine."""
    if isinstance(value, Mapping):
        return {key: told(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [told(item) for item in value]
    is_place = isinstance(value, str) and value.startswith(PLACES)
    return value.rstrip("/").rpartition("/")[2] if is_place else value


def _made_of(graph: Graph, model: str) -> str:
    """Return the model that a model has its weights from; "" for a model that has them from no other."""
    settings = graph.nodes[model].settings
    chosen = read_manifest(graph.layout.model(model)).get("chosen")
    if chosen in getattr(settings, "among", ()):
        return str(chosen)
    # A created model has the tokenizer of another model alone.
    models = [
        name
        for name in graph.stage_of(model).sized_by(settings)
        if name != getattr(settings, "tokenizer", "")
    ]
    return next(iter(models), "")


def _step(graph: Graph, model: str, made_of: str) -> Step:
    node = graph.nodes[model]
    given = node.settings.model_dump(mode="json", exclude_unset=True, exclude={*AFTERWARDS, "seed"})
    settings = told(given)
    return Step(
        model,
        node.stage,
        made_of or str(settings.get("path", "")),
        [] if getattr(node.settings, "given", None) else getattr(node.settings, "teachers", ()),
        datasets_of(node.settings),
        node.settings.seed,
        read_manifest(graph.layout.model(model)).get("examples_seen"),
        settings,
    )
